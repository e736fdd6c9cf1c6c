FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1
FROM base AS deps
COPY requirements.txt .
RUN pip install --prefix=/install -r requirements.txt
FROM base
COPY --from=deps /install /usr/local
COPY . /app
CMD ["gunicorn", "-b", "0.0.0.0:8000", "app:app"]
