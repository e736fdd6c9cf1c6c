FROM alpine AS a
ENV DIR=/opt
FROM a AS b
ADD ${DIR}/x /y
ADD ${DIR}x /z
FROM b
RUN true
