#!/usr/bin/env docker
# a comment
# escape=`

FROM alpine
# between
RUN apk add \
# inside
      curl \

      git
    # indented
LABEL a=b
