FROM postgres:16
VOLUME ["/var/lib/postgresql/data", "/backup"]
EXPOSE 5432/tcp 9187
ENV POSTGRES_DB=app POSTGRES_USER=app
COPY --chmod=755 docker-entrypoint-initdb.d/ /docker-entrypoint-initdb.d/
WORKDIR /
USER postgres:postgres
