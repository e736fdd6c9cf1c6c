FROM node:20
ONBUILD COPY package.json /app/
ONBUILD RUN npm ci
ONBUILD ADD ./dist /app
ONBUILD COPY --from=0 /x /y
