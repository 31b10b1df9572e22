FROM python:3.11-slim-bookworm AS build
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
# every file is checked against its hash
COPY requirements.lock ./
RUN pip install --require-hashes --no-deps -r requirements.lock \
    && printf '#!/venv/bin/python\nfrom cli import main\nmain()\n' > /venv/bin/scanline \
    && chmod 755 /venv/bin/scanline
# the compiled reader of records, into .runtime
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev
COPY schemas ./schemas
COPY sinks ./sinks
RUN python -m sinks.postgres.native.library

FROM python:3.11-slim-bookworm AS app
RUN groupadd --gid 10001 scanline && useradd --uid 10001 --gid scanline --no-create-home --shell /usr/sbin/nologin scanline
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=random \
    SCANLINE_LOG_FORMAT=json
COPY --from=build /venv /venv
WORKDIR /app
COPY --from=build /build/.runtime ./.runtime
COPY schemas ./schemas
COPY kafka_client ./kafka_client
COPY sinks ./sinks
COPY stream_app ./stream_app
COPY producer_api ./producer_api
COPY infra ./infra
COPY cli ./cli
COPY operations ./operations
USER scanline
CMD ["scanline", "--help"]
