{{- define "voicewire.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end -}}
{{- end -}}

{{- define "voicewire.selector" -}}
app.kubernetes.io/name: voicewire
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "voicewire.labels" -}}
{{ include "voicewire.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | quote }}
{{- end -}}

{{/* A setting that the Secret holds; without it the pod does not start. */}}
{{- define "voicewire.secret" -}}
- name: VOICEWIRE_{{ .name | upper }}
  valueFrom:
    secretKeyRef:
      name: {{ .root.Values.secretName }}
      key: VOICEWIRE_{{ .name | upper }}
{{- end -}}

{{- define "voicewire.settings" -}}
{{- range $name, $value := . }}
- name: VOICEWIRE_{{ $name | upper }}
  value: {{ $value | toString | quote }}
{{- end -}}
{{- end -}}

{{- define "voicewire.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "voicewire.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Where pods go: where the values say, and else apart from each other. */}}
{{- define "voicewire.placement" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "voicewire.selector" . | nindent 8 }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
