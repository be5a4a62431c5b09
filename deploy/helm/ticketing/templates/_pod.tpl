{{/* The pod of a process. `.root`: the chart's context; `.component`: the name of the process; `.command`: the
arguments of `ticketing`; `.resources`; `.grace`; `.port` of HTTP; `.environment`, `.home` (a
volume) and `.probes` as YAML. */}}
{{- define "ticketing.pod" -}}
metadata:
  labels:
    {{- include "ticketing.selector" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
  {{- with .root.Values.podAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with .account }}
  serviceAccountName: {{ . }}
  {{- end }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .restartPolicy }}
  restartPolicy: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ .grace }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with .root.Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "ticketing.selector" .root | nindent 10 }}
          app.kubernetes.io/component: {{ .component }}
  containers:
    - name: {{ .component }}
      image: {{ include "ticketing.image" .root | quote }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args: [{{ .command | quote }}]
      env:
        {{- include "ticketing.environment" .root | trim | nindent 8 }}
        {{- with .environment }}
        {{- trim . | nindent 8 }}
        {{- end }}
      {{- with .probes }}
      ports:
        {{- with $.port }}
        - {name: http, containerPort: {{ . }}}
        {{- end }}
        - {name: metrics, containerPort: {{ $.root.Values.metrics.port }}}
      {{- trim . | nindent 6 }}
      {{- end }}
      resources: {{- toYaml .resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: home, mountPath: /var/lib/ticketing}
  volumes:
    - {name: tmp, emptyDir: {sizeLimit: {{ .tmp | default "128Mi" }}}}
    - name: home
      {{- .home | default "emptyDir: {sizeLimit: 16Mi}" | trim | nindent 6 }}
{{- end }}
