FROM alpine AS tools
RUN apk add --no-cache jq
FROM alpine
RUN --mount=from=tools,source=/usr/bin,target=/tools --mount=type=bind,from=busybox:1.36,target=/bb /tools/jq --version
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc --mount=type=ssh npm ci
