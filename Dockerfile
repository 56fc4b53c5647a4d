# syntax=docker/dockerfile:1.7
# The reconciler: Node, one bundle and a reaper of processes; no shell, no git, no package manager.
#
#   docker buildx build --build-arg NODE_IMAGE=node:22-bookworm@sha256:… \
#     --build-arg RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot@sha256:… …
#
# docs/kubernetes.md says the whole command, and where the digests come from. Neither has a default: a tag
# is another image tomorrow, and a digest that nobody chose is one that nobody keeps up to date.
ARG NODE_IMAGE
ARG RUNTIME_IMAGE

# The bundle is the same for every processor, so it is made on the builder's own.
FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS bundle
ARG NODE_IMAGE
ARG RUNTIME_IMAGE
RUN for image in "$NODE_IMAGE" "$RUNTIME_IMAGE"; do \
      case "$image" in \
        *@sha256:*) ;; \
        *) echo "$image has no digest, expected name:tag@sha256:…" >&2; exit 1 ;; \
      esac; \
    done
WORKDIR /build
COPY package.json package-lock.json ./
# No package's script is run: esbuild, the only one whose program is needed, comes ready.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY scripts/build.mjs scripts/
COPY manifests/schema/ manifests/schema/
COPY src/ src/
RUN npm run build

# Node without its table of symbols, which a sixth of its size is (107 MB of 125); what native code
# is linked with stays.
FROM ${NODE_IMAGE} AS node
RUN strip --strip-unneeded -o /node /usr/local/bin/node && /node --version

# Node as the first process waits for its own children only (docs/reconcile.md), and pid1.sh needs a shell.
FROM scratch AS tini-amd64
ADD --checksum=sha256:c5b0666b4cb676901f90dfcb37106783c5fe2077b04590973b885950611b30ee --chmod=0755 \
  https://github.com/krallin/tini/releases/download/v0.19.0/tini-static-amd64 /tini
FROM scratch AS tini-arm64
ADD --checksum=sha256:eae1d3aa50c48fb23b8cbdf4e369d0910dfc538566bfd09df89a774aa84a48b9 --chmod=0755 \
  https://github.com/krallin/tini/releases/download/v0.19.0/tini-static-arm64 /tini
FROM tini-${TARGETARCH} AS tini

FROM ${RUNTIME_IMAGE}
COPY --from=tini /tini /usr/bin/tini
COPY --from=node /node /usr/bin/node
# package.json says that the bundle consists of ES modules.
COPY package.json LICENSE /app/
COPY --from=bundle /build/dist/ /app/dist/
# A home for whichever user a pod names: a library asks for it, and Node fails for a user whom no passwd has.
ENV NODE_ENV=production HOME=/tmp
# The user `nonroot` by number, by which Kubernetes can see that it is not root.
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/bin/node", "/app/dist/cli.js"]
CMD ["--help"]
