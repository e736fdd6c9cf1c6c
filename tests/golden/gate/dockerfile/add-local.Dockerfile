FROM debian:12
ENV VERSION=1.2
ADD app-$VERSION.tar.gz /opt/
ADD ["my file.txt", "/opt/"]
ADD --chown=app:app ["$VERSION", "/opt/v"]
ADD . /src
ADD [a-c]*.txt /txt/
ADD github.com/example/lib /go/src/github.com/example/lib
