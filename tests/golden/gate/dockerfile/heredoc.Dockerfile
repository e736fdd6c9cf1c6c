# syntax=docker/dockerfile:1.4
FROM debian:12
RUN <<EOF
apt-get update
apt-get install -y curl
EOF
COPY <<-"EOT" /app/config.ini
	[server]
	port = $PORT
	EOT
RUN <<A cat && cat <<B
first
A
second
B
CMD ["sh"]
