{{/*
What the schema cannot say: values that are well formed each for itself and cannot work together. Refused when the chart is rendered, because
a pod would say it only to who reads its log.
*/}}
{{- define "solmu.validate" -}}
{{- $nats := .Values.nats }}
{{- $name := include "solmu.fullname" . }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) }}
{{- fail (printf "fullnameOverride: '%s' is no name for Services: lower-case letters, digits and hyphens, a letter first" $name) }}
{{- end }}
{{- $selected := list "name" "instance" "component" "part-of" "managed-by" "version" }}
{{- range $where := list "commonLabels" "podLabels" }}
{{- range $label, $_ := index $.Values $where }}
{{- if or (eq $label "helm.sh/chart") (and (hasPrefix "app.kubernetes.io/" $label) (has (trimPrefix "app.kubernetes.io/" $label) $selected)) }}
{{- fail (printf "%s: %s is the chart's: selectors look for it" $where $label) }}
{{- end }}
{{- end }}
{{- end }}
{{- $mounted := list "postgres" "nats" "signing" "roster-token" "tickets-token" }}
{{- range .Values.secretMounts }}
{{- if has .name $mounted }}
{{- fail (printf "secretMounts: something is mounted at /run/secrets/solmu/%s already: take another name" .name) }}
{{- end }}
{{- $mounted = append $mounted .name }}
{{- end }}
{{- if and .Values.gateway.enabled (not .Values.gateway.parentRefs) }}
{{- fail "gateway.parentRefs: name the Gateway that the routes belong to" }}
{{- end }}
{{- if and .Values.postgres.cluster.enabled (gt (include "solmu.connections" . | int) (int .Values.postgres.cluster.maxConnections)) }}
{{- fail (printf "postgres.cluster.maxConnections: %d are fewer than the %s that all pods may open (pods at most, one more of each role during a rollout, each postgres.maxConnections, and 20)" (int .Values.postgres.cluster.maxConnections) (include "solmu.connections" .)) }}
{{- end }}
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
{{- if and $values.autoscaling.enabled (eq "none" (dig $role "scaling" "" (include "solmu.roleTable" $ | fromYaml))) }}
{{- fail (printf "roles.%s.autoscaling: one replica leads and the others stand by, more do no more: set replicas" $role) }}
{{- end }}
{{- if and $values.autoscaling.enabled (gt (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas)) }}
{{- fail (printf "roles.%s.autoscaling: minReplicas (%d) is more than maxReplicas (%d)" $role (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas)) }}
{{- end }}
{{- end }}
{{- $config := .Values.config }}
{{- range $path, $why := include "solmu.reserved" . | fromYaml }}
{{- $parts := splitList "." $path }}
{{- if hasKey (dig (first $parts) dict $config) (last $parts) }}
{{- fail (printf "config.%s: %s" $path $why) }}
{{- end }}
{{- end }}
{{- range $role, $values := .Values.roles }}
{{- range $values.env }}
{{- $key := .name | lower | replace "__" "." | trimPrefix "solmu." }}
{{- with get (include "solmu.reserved" $ | fromYaml) $key }}
{{- fail (printf "roles.%s.env: %s: %s" $role $key .) }}
{{- end }}
{{- if and .value (hasPrefix "SOLMU__" .name) (or (has $key (list "postgres.url" "nats.url")) (regexMatch (include "solmu.secretNames" $) (regexReplaceAll "^.*[.]" $key ""))) }}
{{- fail (printf "roles.%s.env: %s: a secret does not belong into the values: give it by valueFrom.secretKeyRef" $role .name) }}
{{- end }}
{{- end }}
{{- end }}
{{- range list "postgres" "nats" }}
{{- if dig . "url" "" $config }}
{{- fail (printf "config.%s.url: it holds a password, and does not belong into the values: %s.existingSecret names the Secret with it (others are mounted by secretMounts)" . .) }}
{{- end }}
{{- end }}
{{- include "solmu.refuseSecrets" (dict "root" . "at" "config" "it" $config) }}
{{- end }}

{{/* Connections that all pods open at most; xtask/src/deploy/budget.rs counts them in what was rendered. */}}
{{- define "solmu.connections" -}}
{{- $pods := 0 }}
{{- range $role, $values := .Values.roles }}
{{- if $values.enabled }}
{{- $pods = add $pods 1 (ternary $values.autoscaling.maxReplicas $values.replicas $values.autoscaling.enabled) }}
{{- end }}
{{- end }}
{{- add 20 (mul $pods .Values.postgres.maxConnections) }}
{{- end }}

{{/* Keys of the configuration that belong to the chart, and where their values are. */}}
{{- define "solmu.reserved" -}}
server.http_address: &port "ports of pods are the chart's; listenAddress says which address"
server.grpc_address: *port
server.admin_address: *port
server.api_address: *port
email.listen: "ports of pods are the chart's; smtp.port is the port of the Service"
nats.namespace: "the jobs have to know it: set nats.namespace of the values"
nats.partitions: "the jobs have to know it: set nats.partitions of the values"
nats.replicas: "the jobs have to know it: set nats.streamReplicas of the values"
nats.max_stream_bytes: "the jobs have to know it: set nats.maxStreamBytes of the values"
lifecycle.drain_delay_ms: "the grace period of pods follows it: set shutdown.delaySeconds of the values"
lifecycle.drain_timeout_ms: "the grace period of pods follows it: set shutdown.drainSeconds of the values"
objects.folder: "the chart mounts it: see objects of the values"
{{- end }}

{{/* The last words of keys that hold secrets. `charts.py schema --check` holds it to the program's schema. */}}
{{- define "solmu.secretNames" -}}
(^|_)(password|secret|secrets|token|signing_keys|signing_key|access_key)$
{{- end }}

{{/* A secret in `config` would stand in a ConfigMap. */}}
{{- define "solmu.refuseSecrets" -}}
{{- $root := .root }}
{{- $at := .at }}
{{- if kindIs "map" .it }}
{{- range $key, $value := .it }}
{{- $here := printf "%s.%s" $at $key }}
{{- if and $value (or (kindIs "string" $value) (kindIs "slice" $value)) (regexMatch (include "solmu.secretNames" $root) $key) }}
{{- fail (printf "%s: a secret does not belong into the values, which end in a ConfigMap: mount it by secretMounts and give %s_file" $here $key) }}
{{- end }}
{{- include "solmu.refuseSecrets" (dict "root" $root "at" $here "it" $value) }}
{{- end }}
{{- else if kindIs "slice" .it }}
{{- range $index, $value := .it }}
{{- include "solmu.refuseSecrets" (dict "root" $root "at" (printf "%s[%d]" $at $index) "it" $value) }}
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
