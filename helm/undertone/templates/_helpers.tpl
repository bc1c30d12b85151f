{{- define "undertone.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* The release's full name; short enough for "-escalate" or "-inference" behind it. */ -}}
{{- define "undertone.fullname" -}}
{{- $name := include "undertone.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "undertone.selectorLabels" -}}
app.kubernetes.io/name: {{ include "undertone.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "undertone.labels" -}}
{{ include "undertone.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Labels of a component's pods. Takes (dict "root" $ "component" NAME), as what follows does. */ -}}
{{- define "undertone.componentLabels" -}}
{{ include "undertone.labels" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "undertone.componentSelector" -}}
{{ include "undertone.selectorLabels" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "undertone.componentName" -}}
{{- printf "%s-%s" (include "undertone.fullname" .root) .component -}}
{{- end -}}

{{- define "undertone.serviceAccountName" -}}
{{- $made := ternary (include "undertone.fullname" .) "default" .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default $made -}}
{{- end -}}

{{- /* Takes (dict "root" $ "image" VALUES). */ -}}
{{- define "undertone.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /* The Secret with a component's Kafka credentials; empty where Kafka asks for none. */ -}}
{{- define "undertone.kafkaSecret" -}}
{{- $kafka := .root.Values.kafka -}}
{{- $user := index $kafka.users .component -}}
{{- $strimzi := ternary (include "undertone.componentName" .) "" .root.Values.strimzi.users.enabled -}}
{{- $secret := $user.secret | default $strimzi | default $kafka.secret -}}
{{- if hasPrefix "SASL_" $kafka.security -}}
{{- required (printf "kafka.secret, or kafka.users.%s.secret: name the Secret with the SASL password" .component) $secret -}}
{{- else if eq $kafka.security "SSL" -}}
{{- $secret -}}
{{- end -}}
{{- end -}}

{{- /* The Secret with the brokers' certificate authority; empty where there is none, or no TLS. */ -}}
{{- define "undertone.kafkaCa" -}}
{{- if has .Values.kafka.security (list "SSL" "SASL_SSL") -}}
{{- $strimzi := ternary (printf "%s-cluster-ca-cert" .Values.strimzi.cluster) "" .Values.strimzi.users.enabled -}}
{{- .Values.kafka.ca.secret | default $strimzi -}}
{{- end -}}
{{- end -}}

{{- define "undertone.maxReplicas" -}}
{{- $most := .Values.keda.maxReplicas | default .Values.topics.partitions | int -}}
{{- if gt $most (int .Values.topics.partitions) -}}
{{- fail (printf "keda.maxReplicas: %d pods, but topics.partitions is %d; a pod more than partitions has nothing to do" $most (int .Values.topics.partitions)) -}}
{{- end -}}
{{- if gt (int .Values.keda.minReplicas) $most -}}
{{- fail (printf "keda.minReplicas: %d pods, but no more than %d (keda.maxReplicas, topics.partitions)" (int .Values.keda.minReplicas) $most) -}}
{{- end -}}
{{- $most -}}
{{- end -}}
