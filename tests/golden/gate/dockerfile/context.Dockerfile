FROM base AS app
COPY --from=assets /css /css
RUN --mount=from=assets,target=/a ls /a
