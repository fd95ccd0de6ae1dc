{{/*
What the schema cannot say: values that are well formed each for itself and cannot work together. Refused when the chart is rendered, because
a pod would say it only to who reads its log.
*/}}
{{- define "solmu.validate" -}}
{{- $nats := .Values.nats }}
{{- if and (contains ":" .Values.listenAddress) (not (hasPrefix "[" .Values.listenAddress)) }}
{{- fail (printf "listenAddress: '%s' is an IPv6 address and needs brackets: [%s]" .Values.listenAddress .Values.listenAddress) }}
{{- end }}
{{- if $nats.install }}
{{- if not $nats.userPerRole }}
{{- fail "nats.install: its servers have a user for each role and no other: set nats.userPerRole" }}
{{- end }}
{{- if gt (int $nats.streamReplicas) (int $nats.server.replicas) }}
{{- fail (printf "nats.streamReplicas: %d replicas of a stream need as many servers, and nats.server.replicas is %d" (int $nats.streamReplicas) (int $nats.server.replicas)) }}
{{- end }}
{{- $store := include "solmu.bytes" $nats.server.maxFileStore | float64 }}
{{- if gt (mulf 5.0 (float64 $nats.maxStreamBytes)) $store }}
{{- fail (printf "nats.server.maxFileStore: five streams of nats.maxStreamBytes (%d) do not fit into %s" (int64 $nats.maxStreamBytes) $nats.server.maxFileStore) }}
{{- end }}
{{- if gt $store (include "solmu.bytes" $nats.server.size | float64) }}
{{- fail (printf "nats.server.size: a volume of %s does not hold nats.server.maxFileStore (%s)" $nats.server.size $nats.server.maxFileStore) }}
{{- end }}
{{- end }}
{{- range $role, $values := .Values.roles }}
{{- if and $values.autoscaling.enabled (gt (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas)) }}
{{- fail (printf "roles.%s.autoscaling: minReplicas (%d) is more than maxReplicas (%d)" $role (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas)) }}
{{- end }}
{{- end }}
{{- range list "http_address" "grpc_address" "admin_address" "api_address" }}
{{- if hasKey (dig "server" dict $.Values.config) . }}
{{- fail (printf "config.server.%s: ports of pods are the chart's; listenAddress says which address" .) }}
{{- end }}
{{- end }}
{{- if hasKey (dig "email" dict .Values.config) "listen" }}
{{- fail "config.email.listen: ports of pods are the chart's; smtp.port is the port of the Service" }}
{{- end }}
{{- include "solmu.refuseSecrets" (dict "at" "config" "it" .Values.config) }}
{{- end }}

{{/* A secret in `config` would stand in a ConfigMap. Those of the program's keys, by their last word. */}}
{{- define "solmu.refuseSecrets" -}}
{{- $at := .at }}
{{- if kindIs "map" .it }}
{{- range $key, $value := .it }}
{{- $here := printf "%s.%s" $at $key }}
{{- if and (kindIs "string" $value) $value (regexMatch "(^|_)(password|secret|token|signing_keys|signing_key|access_key|secret_key|api_key)$" $key) }}
{{- fail (printf "%s: a secret does not belong into the values, which end in a ConfigMap: mount it by secretMounts and give %s_file" $here $key) }}
{{- end }}
{{- include "solmu.refuseSecrets" (dict "at" $here "it" $value) }}
{{- end }}
{{- else if kindIs "slice" .it }}
{{- range $index, $value := .it }}
{{- include "solmu.refuseSecrets" (dict "at" (printf "%s[%d]" $at $index) "it" $value) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Bytes of "16GB" as nats-server reads it (GB is 1024 x 1024 x 1024) and of "20Gi" as Kubernetes does. */}}
{{- define "solmu.bytes" -}}
{{- $number := regexFind "^[0-9.]+" (toString .) | float64 }}
{{- $unit := regexFind "[A-Za-z]*$" (toString .) }}
{{- $factors := dict "" 1 "K" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "KB" 1024 "MB" 1048576 "GB" 1073741824 "TB" 1099511627776 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 }}
{{- if not (hasKey $factors $unit) }}{{ fail (printf "'%s' has no unit that is known" (toString .)) }}{{ end }}
{{- mulf $number (get $factors $unit | float64) | printf "%.0f" }}
{{- end }}
