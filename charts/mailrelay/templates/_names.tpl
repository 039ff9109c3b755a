{{/* The name of what the chart makes: never that of a MailRelay's children by accident, since a relay "mailrelay" in
the same namespace would want a Deployment and a ServiceAccount of that name. Room for suffixes is left. */}}
{{- define "mailrelay.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if hasSuffix "-operator" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- printf "%s-operator" (.Release.Name | trunc 41 | trimSuffix "-") -}}
{{- else -}}
{{- printf "%s-operator" (printf "%s-%s" .Release.Name $name | trunc 41 | trimSuffix "-") -}}
{{- end -}}
{{- end }}

{{/* Cluster-wide objects carry the namespace too: two releases of one name can be in two namespaces. */}}
{{- define "mailrelay.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "mailrelay.fullname" .) -}}
{{- end }}

{{- define "mailrelay.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "mailrelay.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name must be the name of an existing ServiceAccount when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "mailrelay.selectorLabels" -}}
app.kubernetes.io/name: mailrelay
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "mailrelay.labels" -}}
{{ include "mailrelay.selectorLabels" . }}
app.kubernetes.io/part-of: mailrelay
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The labels of what has further ones of its own: `include "mailrelay.labelsAnd" (list . FURTHER)`. A further label
goes before a common one of the same name. */}}
{{- define "mailrelay.labelsAnd" -}}
{{- $labels := fromYaml (include "mailrelay.labels" (index . 0)) -}}
{{- toYaml (mergeOverwrite $labels (default dict (index . 1))) -}}
{{- end }}

{{- define "mailrelay.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- .Values.image.repository -}}
{{- if .Values.image.digest -}}@{{ .Values.image.digest }}{{- else -}}:{{ $tag }}{{- end -}}
{{- end }}

{{/* Of relay pods: what is not said of it is as in the operator's image. */}}
{{- define "mailrelay.relayImage" -}}
{{- $relay := .Values.relayImage -}}
{{- if and (not $relay.repository) (not $relay.tag) (not $relay.digest) -}}
{{- include "mailrelay.image" . -}}
{{- else -}}
{{- default .Values.image.repository $relay.repository -}}
{{- if $relay.digest -}}@{{ $relay.digest }}{{- else -}}:{{ default (default .Chart.AppVersion .Values.image.tag) $relay.tag }}{{- end -}}
{{- end -}}
{{- end }}
