# syntax=docker/dockerfile:1
FROM node:20-alpine
WORKDIR /app
COPY package*.json ./
RUN npm ci --omit=dev \
    # the cache is not needed
    && npm cache clean --force

COPY . .
EXPOSE 3000
USER node
CMD ["node", "server.js"]
