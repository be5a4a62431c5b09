{{/* Values that contradict one another. Each message names the values and the remedy. */}}
{{- define "ticketing.refusals" -}}
{{- $values := .Values }}
{{- if not $values.image.repository }}
{{- fail "image.repository is not set. Set it to the image that you built from the Dockerfile and pushed." }}
{{- end }}
{{- if not $values.baseUrl }}
{{- fail "baseUrl is not set. Set it to the address under which clients reach the API, such as https://tickets.example.com." }}
{{- end }}
{{- with $values.attachments }}
{{- if and .bucket .claim.existing }}
{{- fail "attachments.bucket and attachments.claim.existing are both set. Set one: files are in the bucket or on the volume." }}
{{- end }}
{{- if and .endpoint (not .bucket) }}
{{- fail "attachments.endpoint is set without attachments.bucket. Set both, or neither." }}
{{- end }}
{{- $severalApis := or $values.api.autoscaling.enabled (gt (int $values.api.replicas) 1) }}
{{- if and $severalApis (not .bucket) (eq .claim.accessMode "ReadWriteOnce") }}
{{- fail "attachments.claim.accessMode is ReadWriteOnce, but several APIs need the files. Use ReadWriteMany or a bucket, or set api.replicas to 1 without autoscaling." }}
{{- end }}
{{- end }}
{{- if and $values.secrets.bucket.name (not $values.attachments.bucket) }}
{{- fail "secrets.bucket.name is set without attachments.bucket. Set both, or neither." }}
{{- end }}
{{- with $values.api.autoscaling }}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) }}
{{- fail (printf "api.autoscaling.minReplicas is %d, more than maxReplicas (%d)." (int .minReplicas) (int .maxReplicas)) }}
{{- end }}
{{- end }}
{{- if eq (int $values.metrics.port) 8000 }}
{{- fail "metrics.port is 8000, the port of the API. Set another port." }}
{{- end }}
{{- if and $values.ingress.enabled (hasPrefix "https:" $values.baseUrl) (not $values.ingress.tlsSecret) }}
{{- fail "baseUrl begins with https, but ingress.tlsSecret is not set. Name the Secret with the certificate, or disable the ingress if something in front of it handles TLS." }}
{{- end }}
{{- include "ticketing.requireConnections" . }}
{{- end }}

{{/* The same sum as that of `ticketing doctor`, for all pods: each worker has a connection for each thread, which may
lead to a pooler, and 5 of its own; another process has up to 8, and PostgreSQL reserves 3. */}}
{{- define "ticketing.requireConnections" -}}
{{- $values := .Values }}
{{- $apis := int $values.api.replicas }}
{{- if $values.api.autoscaling.enabled }}{{ $apis = int $values.api.autoscaling.maxReplicas }}{{ end }}
{{- $each := ternary 5 (add (int $values.api.threads) 5) (ne $values.secrets.database.directUrlKey "") }}
{{- $ofApis := mul $apis (int $values.api.workers) $each }}
{{- $followers := add (int $values.projector.replicas) (int $values.webhookDispatcher.replicas) 1 }}
{{- if $values.kafka.bootstrapServers }}{{ $followers = add $followers (int $values.relay.replicas) }}{{ end }}
{{- $all := add $ofApis (mul 8 $followers) 3 }}
{{- if gt $all (int $values.database.maxConnections) }}
{{- fail (printf "Up to %d APIs with %d workers of %d threads and %d other processes open up to %d connections, more than database.maxConnections (%d). Lower api.workers, api.threads or the replicas, use a connection pooler (secrets.database.directUrlKey), or raise max_connections of PostgreSQL and this value." $apis (int $values.api.workers) (int $values.api.threads) $followers $all (int $values.database.maxConnections)) }}
{{- end }}
{{- end }}
