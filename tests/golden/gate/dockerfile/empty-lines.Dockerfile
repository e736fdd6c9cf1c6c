

FROM alpine



RUN true


