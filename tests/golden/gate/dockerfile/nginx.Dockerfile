FROM node:20 AS build
ARG VITE_API_URL
ENV VITE_API_URL=${VITE_API_URL:-/api}
WORKDIR /app
COPY . .
RUN yarn install --frozen-lockfile && yarn build
FROM nginx:1.25-alpine
COPY --from=build /app/dist /usr/share/nginx/html
RUN printf 'server {\n  listen 80;\n  location / { try_files $uri /index.html; }\n}\n' > /etc/nginx/conf.d/default.conf
