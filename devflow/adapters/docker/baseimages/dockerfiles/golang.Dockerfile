ARG PARENT
FROM ${PARENT}
ARG VERSION
RUN apt-get update \
 && apt-get install -y --no-install-recommends golang-${VERSION}-go gcc g++ libc6-dev make git \
 && rm -rf /var/lib/apt/lists/* \
 && ln -s /usr/lib/go-${VERSION} /usr/local/go \
 && mkdir -p -m 1777 /go/src /go/bin
ENV GOPATH=/go GOTOOLCHAIN=local PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
WORKDIR /go
RUN go version
