FROM alpine AS wanted
RUN true
FROM unreachable.example.com/x AS other
COPY --from=also.example.com/y /a /b
