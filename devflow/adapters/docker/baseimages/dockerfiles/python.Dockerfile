# Laid out like the official image where people rely on it: /usr/local/bin/python, site-packages, pip as root.
ARG PARENT
FROM ${PARENT}
ARG VERSION
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-pip python3-venv \
 && rm -rf /var/lib/apt/lists/* /usr/lib/python3*/EXTERNALLY-MANAGED \
 && ln -s python3 /usr/bin/python \
 && ln -s /usr/bin/python3 /usr/bin/python /usr/local/bin/ \
 && ln -s /usr/bin/python3 /usr/local/bin/python${VERSION} \
 && mkdir -p /usr/local/lib/python${VERSION}/dist-packages \
 && ln -s dist-packages /usr/local/lib/python${VERSION}/site-packages \
 && python3 -c "import sys; assert sys.version.startswith('${VERSION}.'), sys.version"
ENV LANG=C.UTF-8
CMD ["python3"]
