# One image for both programs: `mailrelay …` (the relay and its command line) and
# `operator`. `npm ci && npm run bundle` makes dist/, which is all that goes in.
ARG BASE_IMAGE=node:26-bookworm-slim
FROM ${BASE_IMAGE}
COPY dist/ /app/
RUN echo 'mailrelay:x:65532:65532::/var/lib/mailrelay:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'mailrelay:x:65532:' >> /etc/group \
 && ln -s /app/relay.js /usr/local/bin/mailrelay \
 && ln -s /app/operator.js /usr/local/bin/operator \
 && install -d -o 65532 -g 65532 -m 0750 /var/lib/mailrelay
ENV NODE_ENV=production MAILRELAY_DEFAULT_HOST=::
USER 65532:65532
WORKDIR /var/lib/mailrelay
# 2525 SMTP; 8025 probes, status and metrics. The root may be read-only: only the
# working directory, where a volume belongs, is written to.
EXPOSE 2525 8025
STOPSIGNAL SIGTERM
# The base image has an entry point of its own; without one, `args` and `command`
# of a pod mean the same.
ENTRYPOINT []
CMD ["mailrelay", "run", "--config", "/etc/mailrelay/config.json"]
