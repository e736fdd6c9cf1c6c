FROM alpine/git
RUN --mount=type=ssh,id=default git clone git@git.example.com:a/b.git
RUN --network=none make test
RUN --security=sandbox make
