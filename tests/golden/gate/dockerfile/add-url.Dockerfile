FROM debian:12
ARG VERSION=1.2
ADD https://dl.example.com/v${VERSION}/tool.tar.gz /opt/
ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://dl.example.com/a /b
ADD git@git.example.com:group/project.git#v1 /src
