ARG PARENT
FROM ${PARENT}
ARG VERSION
RUN apt-get update \
 && apt-get install -y --no-install-recommends ruby${VERSION} ruby${VERSION}-dev ruby bundler build-essential \
    libyaml-dev libffi-dev libpq-dev libsqlite3-dev pkg-config git \
 && rm -rf /var/lib/apt/lists/* \
 && ln -s /usr/bin/ruby /usr/bin/gem /usr/bin/bundle /usr/local/bin/ \
 && mkdir -p -m 1777 /usr/local/bundle
ENV LANG=C.UTF-8 GEM_HOME=/usr/local/bundle BUNDLE_SILENCE_ROOT_WARNING=1 BUNDLE_APP_CONFIG=/usr/local/bundle \
    PATH=/usr/local/bundle/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
RUN ruby --version && bundle --version
CMD ["irb"]
