# The service: one binary on a slim base, as an ordinary user.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /source
RUN apt-get update && apt-get install -y --no-install-recommends build-essential \
    && rm -rf /var/lib/apt/lists/*
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo build --release --locked --package driftless \
    && cp target/release/driftless /usr/local/bin/driftless

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/driftless driftless
COPY --from=build /usr/local/bin/driftless /usr/local/bin/driftless
USER driftless
WORKDIR /var/lib/driftless
ENV DRIFTLESS_DATA=/var/lib/driftless
EXPOSE 8640 9083
ENTRYPOINT ["driftless"]
CMD ["serve", "--listen", "0.0.0.0:8640"]
