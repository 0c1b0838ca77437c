# Laid out like the official image where people rely on it: /usr/local/bin/python, site-packages, pip as root.
# pip is not Debian's package, which refuses to be upgraded, but the wheel that Debian's venv starts from.
ARG PARENT
FROM ${PARENT}
ARG VERSION
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/* /usr/lib/python3*/EXTERNALLY-MANAGED \
 && ln -s python3 /usr/bin/python \
 && ln -s /usr/bin/python3 /usr/bin/python /usr/local/bin/ \
 && ln -s /usr/bin/python3 /usr/local/bin/python${VERSION} \
 && mkdir -p /usr/local/lib/python${VERSION}/dist-packages \
 && ln -s dist-packages /usr/local/lib/python${VERSION}/site-packages \
 && python3 -m venv /tmp/venv \
 && /tmp/venv/bin/pip --python /usr/bin/python3 install --no-index --root-user-action=ignore /usr/share/python-wheels/*.whl \
 && rm -rf /tmp/venv && pip --version \
 && python3 -c "import sys; assert sys.version.startswith('${VERSION}.'), sys.version"
ENV LANG=C.UTF-8
CMD ["python3"]
