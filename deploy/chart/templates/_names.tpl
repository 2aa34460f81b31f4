{{/* Labels of every object: those that the DaemonSet selects its pods by, and those asked for. */}}
{{- define "sluice.selector" -}}
app.kubernetes.io/name: sluice
{{- end }}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sluice.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Whether the endpoint is on each node's own address, which only the pod's environment knows. */}}
{{- define "sluice.onNode" -}}
{{- if eq .Values.metrics.address "node" }}yes{{ end }}
{{- end }}

{{/* Address and port as sluiced takes them. */}}
{{- define "sluice.http" -}}
{{- $address := ternary "$(HOST_IP)" .Values.metrics.address (eq .Values.metrics.address "node") -}}
{{- $address = ternary (printf "[%s]" $address) $address (contains ":" $address) -}}
{{ $address }}:{{ .Values.metrics.port }}
{{- end }}

{{/* Where kubelet asks: the loopback where that is served too, else the node's address, which is the pod's. */}}
{{- define "sluice.probe" -}}
{{- $host := .Values.metrics.address -}}
{{- $host = get (dict "0.0.0.0" "127.0.0.1" "::" "::1" "node" "") $host | default (ternary "" $host (eq $host "node")) -}}
httpGet: { {{ with $host }}host: {{ . | quote }}, {{ end }}port: {{ .Values.metrics.port }}, path: PATH }
{{- end }}

{{/* sluiced's whole configuration: what the values say, over what config adds. */}}
{{- define "sluice.config" -}}
{{- $values := .Values -}}
{{- if not $values.server }}
{{- fail "server is not set: give the API server's URL that leads through no Service, as --set server=https://192.0.2.10:6443" }}
{{- end }}
{{- $said := dict
  "source" (dict "kubernetes" (dict "server" $values.server))
  "uplink" (dict "device" $values.uplinkDevice)
  "services" (dict "cidrs" $values.serviceCidrs)
  "cni" (dict "confDir" $values.cni.confDir "binDir" $values.cni.binDir)
  "runDir" $values.runDir
  "stateDir" $values.stateDir -}}
{{- if not (include "sluice.onNode" .) }}
{{- $said = set $said "http" (include "sluice.http" .) }}
{{- end }}
{{- $config := mergeOverwrite (deepCopy $values.config) $said -}}
{{- $why := dict
  "source" "Where the API server is without any Service: sluiced serves the Services, the one called kubernetes among them."
  "uplink" "The node's device towards the other nodes."
  "cni" "Where the runtime looks: sluiced puts its network list and the plugin there once it is ready."
  "services" "The API server's --service-cluster-ip-range." -}}
{{- range $key := list "source" "uplink" "services" "cni" }}
# {{ get $why $key }}
{{ toYaml (dict $key (get $config $key)) }}
{{- end }}
{{ toYaml (omit $config "source" "uplink" "services" "cni") }}
{{- end }}
