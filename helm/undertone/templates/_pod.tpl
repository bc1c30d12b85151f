{{- /* What every pod's spec has. Takes (dict "root" $ "component" NAME "placing" VALUES ["hook" true] ["gpu" VALUES]). */ -}}
{{- define "undertone.pod" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- /* A hook runs before the account of a first install is there. */}}
serviceAccountName: {{ ternary "default" (include "undertone.serviceAccountName" .root) (and (.hook | default false) .root.Values.serviceAccount.create) }}
automountServiceAccountToken: false
# With links a Service called undertone-... would put UNDERTONE_* variables into pods, which refuse what nothing reads.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- $gpu := .gpu | default dict }}
{{- with $gpu.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with merge (dict) ($gpu.nodeSelector | default dict) .placing.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat .placing.tolerations ($gpu.tolerations | default list) }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .placing.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "undertone.topologySpread" -}}
{{- if .root.Values.topologySpread.enabled }}
topologySpreadConstraints:
  {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "undertone.componentSelector" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "undertone.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{- /* What runs for ever. A container that is started again finds the file that the last one touched. Takes a module and its arguments. */ -}}
{{- define "undertone.command" -}}
command: [sh, -c, rm -f /tmp/alive && exec python -m {{ . }}]
{{- end -}}

{{- /* Alive is who touched its file of late: nothing has to answer. */ -}}
{{- define "undertone.liveness" -}}
livenessProbe:
  exec:
    command: [sh, -c, 'test $(( $(date +%s) - $(stat -c %Y /tmp/alive) )) -lt 30']
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
{{- end -}}

{{- /* Until the file is there. Takes seconds. */ -}}
{{- define "undertone.startup" -}}
startupProbe:
  exec:
    command: [test, -e, /tmp/alive]
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: {{ div (int .) 2 }}
{{- end -}}

{{- /* What a stream process is told. Takes (dict "root" $ "component" NAME "uses" (list "kafka" "postgres" "epochs" "usecases")). */ -}}
{{- define "undertone.streamEnv" -}}
{{- $values := .root.Values }}
{{- if has "kafka" .uses }}
{{- $secret := include "undertone.kafkaSecret" . }}
- name: UNDERTONE_KAFKA
  value: {{ required "kafka.bootstrap: name your brokers, host:port separated by commas" $values.kafka.bootstrap | quote }}
- name: UNDERTONE_KAFKA_SECURITY
  value: {{ $values.kafka.security }}
{{- if include "undertone.kafkaCa" .root }}
- name: UNDERTONE_KAFKA_CA
  value: /etc/undertone/secrets/kafka-ca.crt
{{- end }}
{{- if and $secret (eq $values.kafka.security "SSL") }}
- name: UNDERTONE_KAFKA_CERT
  value: /etc/undertone/secrets/kafka-user.crt
- name: UNDERTONE_KAFKA_KEY
  value: /etc/undertone/secrets/kafka-user.key
{{- else if $secret }}
- name: UNDERTONE_KAFKA_SASL_MECHANISM
  value: {{ $values.kafka.mechanism }}
- name: UNDERTONE_KAFKA_USERNAME
  value: {{ (index $values.kafka.users .component).username | default $secret | quote }}
- name: UNDERTONE_KAFKA_PASSWORD_FILE
  value: /etc/undertone/secrets/kafka-password
{{- end }}
{{- end }}
{{- if or (has "postgres" .uses) (has "migrate" .uses) }}
- name: UNDERTONE_POSTGRES_FILE
  value: /etc/undertone/secrets/postgres
{{- if $values.postgres.ca.secret }}
# Read by libpq where the address says nothing of it.
- name: PGSSLMODE
  value: verify-full
- name: PGSSLROOTCERT
  value: /etc/undertone/secrets/postgres-ca.crt
{{- end }}
{{- end }}
{{- if has "epochs" .uses }}
- name: UNDERTONE_EPOCHS
  value: /etc/undertone/secrets/epochs.json
{{- end }}
{{- if and (has "usecases" .uses) $values.useCases }}
- name: UNDERTONE_USE_CASES
  value: /etc/undertone/use-cases
{{- end }}
{{- end -}}

{{- define "undertone.streamMounts" -}}
- name: tmp
  mountPath: /tmp
{{- if include "undertone.secretSources" . | trim }}
- name: secrets
  mountPath: /etc/undertone/secrets
  readOnly: true
{{- end }}
{{- if and (has "usecases" .uses) .root.Values.useCases }}
- name: use-cases
  mountPath: /etc/undertone/use-cases
  readOnly: true
{{- end }}
{{- if and (has "announcements" .uses) (include "undertone.announcements" .root) }}
- name: announcements
  mountPath: /etc/undertone/announcements
  readOnly: true
  {{- with .root.Values.announcements.claim.subPath }}
  subPath: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* The Secrets of a pod, as sources of one projected volume; empty where it needs none. */ -}}
{{- define "undertone.secretSources" -}}
{{- $values := .root.Values }}
{{- if has "kafka" .uses }}
{{- $secret := include "undertone.kafkaSecret" . }}
{{- with include "undertone.kafkaCa" .root }}
- secret:
    name: {{ . }}
    items: [{key: {{ $values.kafka.ca.key }}, path: kafka-ca.crt}]
{{- end }}
{{- if and $secret (eq $values.kafka.security "SSL") }}
- secret:
    name: {{ $secret }}
    items: [{key: user.crt, path: kafka-user.crt}, {key: user.key, path: kafka-user.key}]
{{- else if $secret }}
- secret:
    name: {{ $secret }}
    items: [{key: password, path: kafka-password}]
{{- end }}
{{- end }}
{{- if or (has "postgres" .uses) (has "migrate" .uses) }}
{{- $role := $values.postgres }}
{{- if and (has "migrate" .uses) $values.postgres.migrate.secret }}
{{- $role = $values.postgres.migrate }}
{{- end }}
- secret:
    name: {{ required "postgres.secret: name the Secret with PostgreSQL's address" $role.secret }}
    items: [{key: {{ $role.key }}, path: postgres}]
{{- with $values.postgres.ca.secret }}
- secret:
    name: {{ . }}
    items: [{key: {{ $values.postgres.ca.key }}, path: postgres-ca.crt}]
{{- end }}
{{- end }}
{{- if has "epochs" .uses }}
- secret:
    name: {{ required "epochs.secret: name the Secret with the file of key epochs" $values.epochs.secret }}
    items: [{key: {{ $values.epochs.key }}, path: epochs.json}]
{{- end }}
{{- end -}}

{{- define "undertone.streamVolumes" -}}
- name: tmp
  emptyDir: {medium: Memory, sizeLimit: 64Mi}
{{- with include "undertone.secretSources" . | trim }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- if and (has "usecases" .uses) .root.Values.useCases }}
- name: use-cases
  configMap:
    name: {{ include "undertone.fullname" .root }}-use-cases
{{- end }}
{{- with and (has "announcements" .uses) (include "undertone.announcements" .root) }}
- name: announcements
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Where the recordings of announcements are, as the source of a volume; empty where there are none. */ -}}
{{- define "undertone.announcements" -}}
{{- with .Values.announcements }}
{{- if and .configMap .claim.name }}
{{- fail "announcements.configMap and announcements.claim.name: both hold the recordings; name one" }}
{{- else if .configMap -}}
configMap: {name: {{ .configMap }}}
{{- else if .claim.name -}}
persistentVolumeClaim: {claimName: {{ .claim.name }}, readOnly: true}
{{- end }}
{{- end }}
{{- end -}}

{{- /* A NetworkPolicy for one component. Takes (dict "root" $ "component" NAME "edges" (list "kafka" "postgres" "inference" "traces" "download") ["annotations" DICT]). */ -}}
{{- define "undertone.networkPolicy" -}}
{{- $policy := .root.Values.networkPolicy }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "undertone.componentName" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "undertone.componentLabels" . | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  podSelector:
    matchLabels:
      {{- include "undertone.componentSelector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  {{- $port := index (dict "segment" 9100 "label" 9100 "escalate" 9100 "relay" 9100 "inference" 8000) .component }}
  ingress:
    {{- if and $port $policy.prometheus.from }}
    - from:
        {{- toYaml $policy.prometheus.from | nindent 8 }}
      ports: [{protocol: TCP, port: {{ $port }}}]
    {{- end }}
    {{- if eq .component "inference" }}
    - from:
        - podSelector:
            matchLabels:
              {{- include "undertone.componentSelector" (dict "root" .root "component" "label") | nindent 14 }}
      ports: [{protocol: TCP, port: 8000}]
    {{- end }}
    {{- if not (or (eq .component "inference") (and $port $policy.prometheus.from)) }} []
    {{- end }}
  egress:
    {{- if .edges }}
    - to:
        {{- toYaml $policy.dns.to | nindent 8 }}
      ports:
        {{- range $policy.dns.ports }}
        - {protocol: UDP, port: {{ . }}}
        - {protocol: TCP, port: {{ . }}}
        {{- end }}
    {{- else }} []
    {{- end }}
    {{- range .edges }}
    {{- if eq . "inference" }}
    - to:
        - podSelector:
            matchLabels:
              {{- include "undertone.componentSelector" (dict "root" $.root "component" "inference") | nindent 14 }}
      ports: [{protocol: TCP, port: 8000}]
    {{- else }}
    {{- $edge := index $policy . }}
    - to:
        {{- toYaml $edge.to | nindent 8 }}
      ports:
        {{- range $edge.ports }}
        - {protocol: TCP, port: {{ . }}}
        {{- end }}
    {{- end }}
    {{- end }}
{{- end -}}
