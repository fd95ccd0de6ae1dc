{{/*
What each role is: which ports it serves, what it talks to besides PostgreSQL and NATS, and how it scales.
The linter of xtask (xtask/src/deploy/evidence.rs) reads the same facts off the code and compares.
  objects  sees the shared folder of attachments
  egress   mail: SMTP, IMAP and their TLS ports; web: HTTPS; dns: name servers beyond the cluster's own answers
  scaling  hpa: by processor; keda: by what waits on the bus; none: one replica leads, the others stand by
  paths    HTTP paths for the outside
  grpc     services that live there; the JSON API is served beside them
*/}}
{{- define "solmu.roleTable" -}}
email:
  http: true
  smtp: true
  objects: true
  egress: [mail, web]
  scaling: hpa
  paths: [/webhooks/mailgun, /webhooks/sendgrid, /webhooks/postmark, /webhooks/ses]
  grpc: []
chat:
  http: true
  smtp: false
  objects: false
  egress: []
  scaling: hpa
  paths: [/chat]
  grpc: []
social:
  http: true
  smtp: false
  objects: true
  egress: [web]
  scaling: hpa
  paths: [/webhooks/whatsapp, /webhooks/telegram]
  grpc: []
forms:
  http: true
  smtp: false
  objects: false
  egress: []
  scaling: hpa
  paths: [/forms]
  grpc: []
tickets:
  http: true
  smtp: false
  objects: true
  egress: []
  scaling: keda
  # Public links.
  paths: [/t]
  grpc:
    - solmu.requester.v1.RequesterService
    - solmu.ticket.v1.TicketService
    - solmu.ticket.v1.ActivityService
    - solmu.ticket.v1.CatalogueService
    - solmu.ticket.v1.DeskService
    - solmu.ticket.v1.FieldService
    - solmu.ticket.v1.LinkService
    - solmu.ticket.v1.MatterService
    - solmu.ticket.v1.SearchService
    - solmu.ticket.v1.SubstatusService
    - solmu.ticket.v1.TimeService
    - solmu.ticket.v1.WorkService
    - solmu.contact.v1.ContactService
    - solmu.access.v1.AccessService
router:
  http: false
  smtp: false
  objects: false
  egress: [tickets]
  scaling: none
  paths: []
  grpc: [solmu.routing.v1.RoutingService]
sla:
  http: false
  smtp: false
  objects: false
  egress: [web, tickets]
  scaling: none
  paths: []
  grpc: [solmu.sla.v1.SlaService]
{{- end }}

{{- define "solmu.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "solmu.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "solmu.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "solmu.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels of every object; give dict "root" $ "component" "email". */}}
{{- define "solmu.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{ include "solmu.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: solmu
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "solmu.selector" -}}
app.kubernetes.io/name: {{ include "solmu.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "solmu.image" -}}
{{- $image := .Values.image }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{/* Where the password of NATS for a role stands in its secret. */}}
{{- define "solmu.natsKey" -}}
{{- if .root.Values.nats.userPerRole }}{{ ternary "admin" .role (eq .role "jobs") }}-url{{ else }}{{ .root.Values.nats.urlKey }}{{ end }}
{{- end }}

{{- define "solmu.postgresSecret" -}}
{{- if .Values.postgres.cluster.enabled }}
{{- printf "%s-postgres-app" (include "solmu.fullname" .) }}
{{- else }}
{{- required "postgres.existingSecret: name a Secret that holds the URL of PostgreSQL, or set postgres.cluster.enabled" .Values.postgres.existingSecret }}
{{- end }}
{{- end }}

{{- define "solmu.postgresKey" -}}
{{- if .Values.postgres.cluster.enabled }}uri{{ else }}{{ .Values.postgres.urlKey }}{{ end }}
{{- end }}

{{- define "solmu.natsSecret" -}}
{{- required "nats.existingSecret: name a Secret that holds the URL of NATS" .Values.nats.existingSecret }}
{{- end }}

{{/* The monitoring address of NATS that KEDA asks. */}}
{{- define "solmu.natsMonitoring" -}}
{{- if .Values.nats.install }}
{{- printf "%s-nats.%s.svc:8222" (include "solmu.fullname" .) .Release.Namespace }}
{{- else }}
{{- required "nats.monitoringEndpoint: KEDA asks it for the lag, e.g. nats.nats.svc:8222" .Values.nats.monitoringEndpoint }}
{{- end }}
{{- end }}

{{/* The same for who has to ask every server: a name with the addresses of all of our own. */}}
{{- define "solmu.natsMonitoringOfAll" -}}
{{- if .Values.nats.install }}
{{- printf "%s-nats-headless.%s.svc:8222" (include "solmu.fullname" .) .Release.Namespace }}
{{- else }}
{{- include "solmu.natsMonitoring" . }}
{{- end }}
{{- end }}

{{/* What is set before `config` of the values comes on top. */}}
{{- define "solmu.configDefaults" -}}
server:
  http_address: "{{ .Values.listenAddress }}:7311"
  grpc_address: "{{ .Values.listenAddress }}:7310"
  admin_address: "{{ .Values.listenAddress }}:7312"
  api_address: "{{ .Values.listenAddress }}:7313"
  connection_age_seconds: 300
email:
  listen: "{{ .Values.listenAddress }}:2525"
lifecycle:
  drain_delay_ms: {{ mul .Values.shutdown.delaySeconds 1000 }}
  drain_timeout_ms: {{ mul .Values.shutdown.drainSeconds 1000 }}
postgres:
  url_file: /run/secrets/solmu/postgres/url
  max_connections: {{ .Values.postgres.maxConnections }}
nats:
  url_file: /run/secrets/solmu/nats/url
  namespace: {{ .Values.nats.namespace }}
  partitions: {{ .Values.nats.partitions }}
  replicas: {{ .Values.nats.streamReplicas }}
  max_stream_bytes: {{ int64 .Values.nats.maxStreamBytes }}
secrets:
  signing_keys_file: /run/secrets/solmu/signing/keys
objects:
  folder: /var/lib/solmu-objects
{{- with .Values.trustedProxies }}
chat: &visitors
  trusted_proxies:
    {{- toYaml . | nindent 4 }}
forms: *visitors
public_links: *visitors
{{- end }}
telemetry:
  format: json
  filter: {{ .Values.telemetry.filter | quote }}
  sample_ratio: {{ .Values.telemetry.sampleRatio }}
  {{- with .Values.telemetry.otlpEndpoint }}
  otlp_endpoint: {{ . | quote }}
  {{- end }}
{{- end }}

{{/* The configuration file. Helm knows no whole numbers: what it writes as 5.0 or 2e+09 becomes one again. */}}
{{- define "solmu.toml" -}}
{{- $config := mustMergeOverwrite (include "solmu.configDefaults" . | fromYaml) (deepCopy .Values.config) }}
{{- $toml := regexReplaceAll "(?m)^(\\s*[A-Za-z0-9_-]+ = -?[0-9]+)\\.0$" (toToml $config) "${1}" }}
{{- range regexFindAll "(?m) = -?[0-9.]+e\\+[0-9]+$" $toml -1 }}
{{- $toml = replace . (printf " = %d" (trimPrefix " = " . | float64 | int64)) $toml }}
{{- end }}
{{- $toml }}
{{- end }}

{{/* Whether a role asks the router who the agents are: it serves the API, and has a token; give dict "root" $ "role" "sla". */}}
{{- define "solmu.asksRouter" -}}
{{- $serves := dig .role "grpc" list (include "solmu.roleTable" .root | fromYaml) }}
{{- if and $serves (ne .role "router") .root.Values.access.rosterToken.existingSecret }}yes{{ end }}
{{- end }}

{{/*
When the jobs run.
  hook    before everything of the release, as hooks of Helm: the engines are given
  with    with the release, as Jobs of it that try again until the engines are there: the release brings engines of its own, and
          Helm would make them only after the hooks, which wait for them; after the install it would wait for pods, which wait for the jobs
  gitops  by the waves of Argo CD, after the engines and before the pods
*/}}
{{- define "solmu.jobOrder" -}}
{{- if and (eq .Values.jobs.mode "hook") (or .Values.postgres.cluster.enabled .Values.nats.install) }}with{{ else }}{{ .Values.jobs.mode }}{{ end }}
{{- end }}

{{/* Annotations of an engine's object: with GitOps it comes before the jobs that need it. */}}
{{- define "solmu.engineOrder" -}}
{{- if eq .Values.jobs.mode "gitops" }}
annotations:
  argocd.argoproj.io/sync-wave: "-2"
{{- end }}
{{- end }}

{{/* Annotations of what holds data: it stays when the release goes, or when the values do not name it any more. */}}
{{- define "solmu.kept" -}}
helm.sh/resource-policy: keep
{{- if eq .Values.jobs.mode "gitops" }}
argocd.argoproj.io/sync-options: Prune=false,Delete=false
kustomize.toolkit.fluxcd.io/prune: disabled
{{- end }}
{{- end }}

{{- define "solmu.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "solmu.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Secrets and configuration as volumes; give dict "root" $ "role" "email" "config" true. */}}
{{- define "solmu.volumes" -}}
- name: data
  emptyDir:
    sizeLimit: 64Mi
{{- if .config }}
- name: config
  configMap:
    name: {{ include "solmu.fullname" .root }}
{{- end }}
- name: postgres
  secret:
    secretName: {{ include "solmu.postgresSecret" .root }}
    defaultMode: 0440
    items:
      - key: {{ include "solmu.postgresKey" .root }}
        path: url
- name: nats
  secret:
    secretName: {{ include "solmu.natsSecret" .root }}
    defaultMode: 0440
    items:
      - key: {{ include "solmu.natsKey" . }}
        path: url
{{- if .config }}
- name: signing
  secret:
    secretName: {{ required "signingKeys.existingSecret: name a Secret with the signing keys (docs/kubernetes.md says how to make one)" .root.Values.signingKeys.existingSecret }}
    defaultMode: 0440
    items:
      - key: {{ .root.Values.signingKeys.key }}
        path: keys
{{- range .root.Values.secretMounts }}
- name: mount-{{ .name }}
  secret:
    secretName: {{ .existingSecret }}
    defaultMode: 0440
{{- end }}
{{- if include "solmu.asksRouter" . }}
- name: roster-token
  secret:
    secretName: {{ .root.Values.access.rosterToken.existingSecret }}
    defaultMode: 0440
    items:
      - key: {{ .root.Values.access.rosterToken.key }}
        path: token
{{- end }}
{{- if and (has .role (list "router" "sla")) .root.Values.router.ticketsToken.existingSecret }}
- name: tickets-token
  secret:
    secretName: {{ .root.Values.router.ticketsToken.existingSecret }}
    defaultMode: 0440
    items:
      - key: {{ .root.Values.router.ticketsToken.key }}
        path: token
{{- end }}
{{- end }}
{{- end }}

{{- define "solmu.mounts" -}}
- name: data
  mountPath: /var/lib/solmu
{{- if .config }}
- name: config
  mountPath: /etc/solmu
  readOnly: true
{{- end }}
- name: postgres
  mountPath: /run/secrets/solmu/postgres
  readOnly: true
- name: nats
  mountPath: /run/secrets/solmu/nats
  readOnly: true
{{- if .config }}
- name: signing
  mountPath: /run/secrets/solmu/signing
  readOnly: true
{{- range .root.Values.secretMounts }}
- name: mount-{{ .name }}
  mountPath: /run/secrets/solmu/{{ .name }}
  readOnly: true
{{- end }}
{{- if include "solmu.asksRouter" . }}
- name: roster-token
  mountPath: /run/secrets/solmu/roster-token
  readOnly: true
{{- end }}
{{- if and (has .role (list "router" "sla")) .root.Values.router.ticketsToken.existingSecret }}
- name: tickets-token
  mountPath: /run/secrets/solmu/tickets-token
  readOnly: true
{{- end }}
{{- end }}
{{- end }}
