{{- define "ticketing.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "ticketing.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ticketing.labels" -}}
{{ include "ticketing.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "ticketing.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}
{{- else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{- define "ticketing.secretVariable" -}}
- name: {{ .variable }}
  valueFrom: {secretKeyRef: {name: {{ .secret }}, key: {{ .key }}}}
{{- end }}

{{/* The settings of every process. */}}
{{- define "ticketing.environment" -}}
{{- with .Values.secrets }}
{{ include "ticketing.secretVariable" (dict "variable" "DATABASE_URL" "secret" .database.name "key" .database.urlKey) }}
{{- if .database.directUrlKey }}
{{ include "ticketing.secretVariable" (dict "variable" "DIRECT_DATABASE_URL" "secret" .database.name "key" .database.directUrlKey) }}
{{- end }}
{{- if .database.readUrlKey }}
{{ include "ticketing.secretVariable" (dict "variable" "READ_DATABASE_URL" "secret" .database.name "key" .database.readUrlKey) }}
{{- end }}
{{ include "ticketing.secretVariable" (dict "variable" "MASTER_KEY" "secret" .masterKey.name "key" .masterKey.key) }}
{{- end }}
- {name: BASE_URL, value: {{ .Values.baseUrl | quote }}}
- {name: TICKETING_HOME, value: /var/lib/ticketing}
- {name: HOST, value: 0.0.0.0}
- {name: METRICS_PORT, value: {{ .Values.metrics.port | quote }}}
{{- with .Values.kafka }}
{{- if .bootstrapServers }}
- {name: KAFKA_BOOTSTRAP_SERVERS, value: {{ .bootstrapServers | quote }}}
- {name: KAFKA_PREFIX, value: {{ .prefix | quote }}}
- {name: KAFKA_REPLICATION_FACTOR, value: {{ .replicationFactor | quote }}}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "ticketing.bucket" -}}
{{- with .Values.attachments }}
{{- if .bucket }}
- {name: ATTACHMENTS_S3_BUCKET, value: {{ .bucket | quote }}}
{{- if .endpoint }}
- {name: ATTACHMENTS_S3_ENDPOINT, value: {{ .endpoint | quote }}}
{{- end }}
{{- if .region }}
- {name: AWS_DEFAULT_REGION, value: {{ .region | quote }}}
{{- end }}
{{- with $.Values.secrets.bucket }}
{{- if .name }}
{{ include "ticketing.secretVariable" (dict "variable" "AWS_ACCESS_KEY_ID" "secret" .name "key" .accessKeyIdKey) }}
{{ include "ticketing.secretVariable" (dict "variable" "AWS_SECRET_ACCESS_KEY" "secret" .name "key" .secretAccessKeyKey) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
