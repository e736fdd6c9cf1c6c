FROM scratch
LABEL maintainer="A B <a@example.com>" org.opencontainers.image.source=https://example.com/x
LABEL version 1.0
MAINTAINER somebody <s@example.com>
ADD rootfs.tar.gz /
STOPSIGNAL SIGTERM
SHELL ["/bin/bash", "-c"]
