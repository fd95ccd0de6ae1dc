CREATE SCHEMA access;



CREATE SCHEMA chat;



CREATE SCHEMA connector;



CREATE SCHEMA email;



CREATE SCHEMA platform;



CREATE SCHEMA routing;



CREATE SCHEMA sla;



CREATE SCHEMA tickets;





CREATE TABLE access.token (
    id text NOT NULL,
    display_name text NOT NULL,
    role text NOT NULL,
    agent_id uuid,
    hash bytea NOT NULL,
    create_time timestamp with time zone NOT NULL,
    revoke_time timestamp with time zone,
    CONSTRAINT token_check CHECK (((role = 'agent'::text) = (agent_id IS NOT NULL))),
    CONSTRAINT token_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT token_id_check CHECK ((id ~ '^[a-z2-7]{8}$'::text)),
    CONSTRAINT token_role_check CHECK ((role = ANY (ARRAY['admin'::text, 'agent'::text, 'service'::text])))
);



CREATE TABLE chat.message (
    session_id uuid NOT NULL,
    seq bigint NOT NULL,
    direction text NOT NULL,
    client_msg_id text,
    message_id uuid NOT NULL,
    author text DEFAULT ''::text NOT NULL,
    text text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    pending bytea,
    CONSTRAINT message_check CHECK (((client_msg_id IS NOT NULL) = (direction = 'in'::text))),
    CONSTRAINT message_check1 CHECK (((pending IS NULL) OR (direction = 'in'::text))),
    CONSTRAINT message_direction_check CHECK ((direction = ANY (ARRAY['in'::text, 'out'::text]))),
    CONSTRAINT message_seq_check CHECK ((seq > 0))
);



CREATE TABLE chat.session (
    id uuid NOT NULL,
    inbox text NOT NULL,
    token_sha256 bytea NOT NULL,
    visitor_name text DEFAULT ''::text NOT NULL,
    visitor_email text DEFAULT ''::text NOT NULL,
    language text DEFAULT ''::text NOT NULL,
    last_seq bigint DEFAULT 0 NOT NULL,
    delivered_seq bigint DEFAULT 0 NOT NULL,
    read_seq bigint DEFAULT 0 NOT NULL,
    reported_delivered_seq bigint DEFAULT 0 NOT NULL,
    reported_read_seq bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT session_check CHECK (((read_seq <= delivered_seq) AND (delivered_seq <= last_seq))),
    CONSTRAINT session_check1 CHECK (((reported_delivered_seq <= delivered_seq) AND (reported_read_seq <= read_seq))),
    CONSTRAINT session_token_sha256_check CHECK ((octet_length(token_sha256) = 32))
);



CREATE TABLE connector.outbound (
    message_id uuid NOT NULL,
    sequence bigint NOT NULL,
    channel text NOT NULL,
    account text NOT NULL,
    conversation_key text NOT NULL,
    lane text DEFAULT ''::text NOT NULL,
    state text NOT NULL,
    message bytea,
    traceparent text DEFAULT ''::text NOT NULL,
    tracestate text DEFAULT ''::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    external_id text DEFAULT ''::text NOT NULL,
    error_code text DEFAULT ''::text NOT NULL,
    error_text text DEFAULT ''::text NOT NULL,
    claimed_until timestamp with time zone,
    next_attempt_at timestamp with time zone NOT NULL,
    queued_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    reported boolean DEFAULT false NOT NULL,
    CONSTRAINT outbound_check CHECK (((state = 'sending'::text) = (claimed_until IS NOT NULL))),
    CONSTRAINT outbound_check1 CHECK (((state = ANY (ARRAY['sent'::text, 'delivered'::text, 'unknown'::text, 'failed'::text])) = (finished_at IS NOT NULL))),
    CONSTRAINT outbound_check2 CHECK (((state <> ALL (ARRAY['queued'::text, 'sending'::text])) OR (message IS NOT NULL))),
    CONSTRAINT outbound_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'sending'::text, 'sent'::text, 'delivered'::text, 'unknown'::text, 'failed'::text])))
);



ALTER TABLE connector.outbound ALTER COLUMN sequence ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME connector.outbound_sequence_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE email.cursor (
    account text NOT NULL,
    mailbox text NOT NULL,
    place text NOT NULL,
    uid_validity bigint NOT NULL,
    taken_uid bigint NOT NULL,
    settled_uid bigint NOT NULL,
    began_at timestamp with time zone NOT NULL,
    moved_at timestamp with time zone NOT NULL,
    CONSTRAINT cursor_check CHECK ((settled_uid <= taken_uid)),
    CONSTRAINT cursor_settled_uid_check CHECK ((settled_uid >= 0)),
    CONSTRAINT cursor_taken_uid_check CHECK ((taken_uid >= 0)),
    CONSTRAINT cursor_uid_validity_check CHECK ((uid_validity > 0))
);



CREATE TABLE email.hook_token (
    token bytea NOT NULL,
    content bytea NOT NULL,
    expires_at timestamp with time zone NOT NULL
);



CREATE TABLE email.skipped (
    account text NOT NULL,
    mailbox text NOT NULL,
    place text NOT NULL,
    uid_validity bigint NOT NULL,
    uid bigint NOT NULL,
    cause text NOT NULL,
    noticed boolean NOT NULL,
    size_bytes bigint NOT NULL,
    skipped_at timestamp with time zone NOT NULL
);



CREATE TABLE platform.lease (
    name text NOT NULL,
    shard integer NOT NULL,
    holder text NOT NULL,
    epoch bigint NOT NULL,
    expires_at timestamp with time zone NOT NULL
);



CREATE TABLE platform.member (
    name text NOT NULL,
    holder text NOT NULL,
    expires_at timestamp with time zone NOT NULL
);



CREATE TABLE public._sqlx_migrations (
    version bigint NOT NULL,
    description text NOT NULL,
    installed_on timestamp with time zone DEFAULT now() NOT NULL,
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);



CREATE TABLE routing.absence (
    agent_id uuid NOT NULL,
    starts_at timestamp with time zone NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    CONSTRAINT absence_check CHECK ((ends_at > starts_at))
);



CREATE TABLE routing.agent (
    id uuid NOT NULL,
    display_name text NOT NULL,
    email text NOT NULL,
    capacity integer NOT NULL,
    presence text NOT NULL,
    presence_at timestamp with time zone NOT NULL,
    version bigint NOT NULL,
    load bigint DEFAULT 0 NOT NULL,
    load_version bigint DEFAULT 0 NOT NULL,
    last_assigned bigint DEFAULT 0 NOT NULL,
    last_assigned_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    skills jsonb DEFAULT '{}'::jsonb NOT NULL,
    languages text[] DEFAULT '{}'::text[] NOT NULL,
    channel_limits jsonb DEFAULT '{}'::jsonb NOT NULL,
    latitude double precision,
    longitude double precision,
    hours jsonb,
    alive_until timestamp with time zone,
    CONSTRAINT agent_capacity_check CHECK (((capacity >= 1) AND (capacity <= 1000000))),
    CONSTRAINT agent_presence_check CHECK ((presence = ANY (ARRAY['online'::text, 'busy'::text, 'away'::text, 'offline'::text])))
)
WITH (fillfactor='50');



CREATE TABLE routing.agent_team (
    agent_id uuid NOT NULL,
    team_id uuid NOT NULL,
    backup boolean DEFAULT false NOT NULL
);



CREATE TABLE routing.decision (
    id uuid NOT NULL,
    seq bigint NOT NULL,
    ticket_id uuid NOT NULL,
    team_id uuid NOT NULL,
    agent_id uuid,
    routing_version bigint NOT NULL,
    agent_load_version bigint NOT NULL,
    lease_epoch bigint NOT NULL,
    rule_id uuid,
    rule_version bigint NOT NULL,
    reason text NOT NULL,
    candidates jsonb NOT NULL,
    decided_at timestamp with time zone NOT NULL,
    outcome text NOT NULL,
    outcome_cause text,
    outcome_at timestamp with time zone,
    CONSTRAINT decision_outcome_check CHECK ((outcome = ANY (ARRAY['reserved'::text, 'applied'::text, 'rejected'::text])))
)
WITH (fillfactor='85');



ALTER TABLE routing.decision ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME routing.decision_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE routing.inbox (
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    seen_at timestamp with time zone NOT NULL
);



CREATE TABLE routing.outbox (
    id bigint NOT NULL,
    event_id uuid NOT NULL,
    family text NOT NULL,
    shard integer NOT NULL,
    event bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    sent_at timestamp with time zone
);



ALTER TABLE routing.outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME routing.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE routing.rule (
    id uuid NOT NULL,
    display_name text NOT NULL,
    "position" integer NOT NULL,
    condition text NOT NULL,
    tree jsonb NOT NULL,
    team_id uuid,
    set_priority text,
    add_tags text[] NOT NULL,
    enabled boolean NOT NULL,
    version bigint NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    agent_id uuid,
    skills jsonb DEFAULT '[]'::jsonb NOT NULL,
    vip boolean DEFAULT false NOT NULL,
    hold_s integer DEFAULT 0 NOT NULL,
    goes_on boolean DEFAULT false NOT NULL,
    CONSTRAINT rule_has_team CHECK ((goes_on OR (team_id IS NOT NULL))),
    CONSTRAINT rule_set_priority_check CHECK ((set_priority = ANY (ARRAY['low'::text, 'normal'::text, 'high'::text, 'urgent'::text])))
);



CREATE TABLE routing.rule_set (
    only_row boolean DEFAULT true NOT NULL,
    version bigint NOT NULL,
    CONSTRAINT rule_set_only_row_check CHECK (only_row)
);



CREATE TABLE routing.rule_version (
    rule_id uuid NOT NULL,
    version bigint NOT NULL,
    rule jsonb NOT NULL,
    deleted boolean NOT NULL,
    changed_at timestamp with time zone NOT NULL
);



CREATE TABLE routing.team (
    id uuid NOT NULL,
    display_name text NOT NULL,
    is_default boolean NOT NULL,
    created_at timestamp with time zone NOT NULL,
    strategy text,
    overflow_after_s integer,
    overflow_to uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    CONSTRAINT team_overflow_after_s_check CHECK ((overflow_after_s >= 0)),
    CONSTRAINT team_strategy_check CHECK ((strategy = ANY (ARRAY['balanced'::text, 'round_robin'::text, 'spare'::text, 'fewest_skills'::text])))
);



CREATE TABLE routing.ticket (
    ticket_id uuid NOT NULL,
    number bigint NOT NULL,
    version bigint NOT NULL,
    routing_version bigint NOT NULL,
    status text NOT NULL,
    priority text NOT NULL,
    channel text NOT NULL,
    account text NOT NULL,
    recipient text NOT NULL,
    language text NOT NULL,
    tags jsonb NOT NULL,
    team_id uuid,
    assignee_id uuid,
    created_at timestamp with time zone NOT NULL,
    next_due timestamp with time zone,
    route jsonb,
    state text NOT NULL,
    owner_id uuid,
    decision_id uuid,
    waiting_since timestamp with time zone,
    wait_reason text,
    rejections integer NOT NULL,
    held_until timestamp with time zone,
    traceparent text NOT NULL,
    tracestate text NOT NULL,
    contact_id uuid,
    former_id uuid,
    excluded jsonb DEFAULT '[]'::jsonb NOT NULL,
    touched_at timestamp with time zone,
    CONSTRAINT ticket_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'reserved'::text, 'assigned'::text, 'done'::text])))
)
WITH (fillfactor='70');



CREATE TABLE sla.calendar (
    id uuid NOT NULL,
    version integer NOT NULL,
    display_name text NOT NULL,
    definition jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT calendar_version_check CHECK ((version > 0))
);



CREATE TABLE sla.catalogue (
    only_row boolean DEFAULT true NOT NULL,
    revision bigint NOT NULL,
    CONSTRAINT catalogue_only_row_check CHECK (only_row)
);



CREATE TABLE sla.clock_event (
    ticket_id uuid NOT NULL,
    id bigint NOT NULL,
    event jsonb NOT NULL
);



ALTER TABLE sla.clock_event ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME sla.clock_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE sla.cycle (
    ticket_id uuid NOT NULL,
    metric text NOT NULL,
    cycle integer NOT NULL,
    policy_id uuid NOT NULL,
    team_id uuid,
    channel text NOT NULL,
    priority text NOT NULL,
    target_s bigint NOT NULL,
    elapsed_s bigint NOT NULL,
    counted_at timestamp with time zone NOT NULL,
    ended boolean NOT NULL,
    breached boolean NOT NULL
);



CREATE TABLE sla.edit (
    id bigint NOT NULL,
    policy_id uuid NOT NULL,
    recompute boolean NOT NULL,
    after uuid DEFAULT '00000000-0000-0000-0000-000000000000'::uuid NOT NULL,
    created_at timestamp with time zone NOT NULL
);



ALTER TABLE sla.edit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME sla.edit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE sla.inbox (
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    seen_at timestamp with time zone NOT NULL
);



CREATE TABLE sla.outbox (
    id bigint NOT NULL,
    event_id uuid NOT NULL,
    family text NOT NULL,
    shard integer NOT NULL,
    event bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    sent_at timestamp with time zone
);



ALTER TABLE sla.outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME sla.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE sla.policy (
    id uuid NOT NULL,
    version integer NOT NULL,
    current boolean NOT NULL,
    "position" integer NOT NULL,
    display_name text NOT NULL,
    condition text NOT NULL,
    tree jsonb NOT NULL,
    calendar_id uuid NOT NULL,
    targets jsonb NOT NULL,
    pause_on text[] NOT NULL,
    next_response_from text NOT NULL,
    remind_before_s bigint,
    created_at timestamp with time zone NOT NULL,
    rules jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT policy_next_response_from_check CHECK ((next_response_from = ANY (ARRAY['after_first'::text, 'any'::text]))),
    CONSTRAINT policy_remind_before_s_check CHECK ((remind_before_s > 0)),
    CONSTRAINT policy_version_check CHECK ((version > 0))
);



CREATE TABLE sla.team_calendar (
    team_id uuid NOT NULL,
    calendar_id uuid NOT NULL
);



CREATE TABLE sla.ticket_clock (
    ticket_id uuid NOT NULL,
    ticket_version bigint NOT NULL,
    policy_id uuid,
    policy_version integer,
    opening jsonb,
    state jsonb,
    announced jsonb NOT NULL,
    first_response_due timestamp with time zone,
    next_response_due timestamp with time zone,
    resolution_due timestamp with time zone,
    breached boolean NOT NULL,
    wake_at timestamp with time zone,
    updated_at timestamp with time zone NOT NULL,
    policies text[] DEFAULT '{}'::text[] NOT NULL,
    open boolean DEFAULT true NOT NULL,
    channel text DEFAULT ''::text NOT NULL,
    periodic_update_due timestamp with time zone,
    agent_work_due timestamp with time zone,
    ownership_due timestamp with time zone,
    CONSTRAINT ticket_clock_check CHECK (((policy_id IS NULL) = (policy_version IS NULL))),
    CONSTRAINT ticket_clock_check1 CHECK (((policy_id IS NULL) = (opening IS NULL))),
    CONSTRAINT ticket_clock_check2 CHECK (((policy_id IS NULL) = (state IS NULL)))
)
WITH (fillfactor='70');



CREATE TABLE tickets.agent (
    id uuid NOT NULL,
    display_name text NOT NULL,
    address text NOT NULL
);



CREATE TABLE tickets.blocked_sender (
    pattern text NOT NULL,
    reason text NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT blocked_sender_pattern_check CHECK ((pattern ~ '@.'::text))
);



CREATE TABLE tickets.contact (
    id uuid NOT NULL,
    display_name text NOT NULL,
    language text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    root_id uuid,
    time_zone text DEFAULT ''::text NOT NULL,
    attributes jsonb DEFAULT '{}'::jsonb NOT NULL,
    organization_id uuid,
    manager boolean DEFAULT false NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    updated_at timestamp with time zone,
    blocked_at timestamp with time zone,
    block_reason text DEFAULT ''::text NOT NULL,
    erased_at timestamp with time zone,
    request_id text
);



CREATE TABLE tickets.contact_apart (
    first_id uuid NOT NULL,
    second_id uuid NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT contact_apart_check CHECK ((first_id < second_id))
);



CREATE TABLE tickets.contact_attribute (
    name text NOT NULL,
    display_name text NOT NULL,
    type text NOT NULL,
    choices text[] DEFAULT '{}'::text[] NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT contact_attribute_name_check CHECK ((name ~ '^[a-z][a-z0-9_]{0,62}$'::text))
);



CREATE TABLE tickets.contact_merge (
    id uuid NOT NULL,
    winner_id uuid NOT NULL,
    loser_id uuid NOT NULL,
    rule text NOT NULL,
    evidence text DEFAULT ''::text NOT NULL,
    actor_kind smallint NOT NULL,
    actor_id text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    request_id text,
    created_at timestamp with time zone NOT NULL,
    undone_at timestamp with time zone,
    undone_kind smallint,
    undone_by text DEFAULT ''::text NOT NULL,
    undo_reason text DEFAULT ''::text NOT NULL,
    CONSTRAINT contact_merge_check CHECK ((winner_id <> loser_id))
);



CREATE TABLE tickets.early_report (
    channel smallint NOT NULL,
    account text NOT NULL,
    external_id text NOT NULL,
    state smallint NOT NULL,
    error_code text NOT NULL,
    error_text text NOT NULL,
    reported_at timestamp with time zone NOT NULL,
    address_invalid boolean DEFAULT false NOT NULL,
    address text DEFAULT ''::text NOT NULL
);



CREATE TABLE tickets.erased_object (
    key text NOT NULL
);



CREATE TABLE tickets.identity (
    kind smallint NOT NULL,
    scope text NOT NULL,
    value text NOT NULL,
    raw text NOT NULL,
    contact_id uuid NOT NULL,
    assurance smallint NOT NULL,
    attested_by text NOT NULL,
    first_seen timestamp with time zone NOT NULL,
    undeliverable_at timestamp with time zone,
    undeliverable_cause text DEFAULT ''::text NOT NULL,
    soft_failures timestamp with time zone[] DEFAULT '{}'::timestamp with time zone[] NOT NULL
);



CREATE TABLE tickets.inbox (
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    seen_at timestamp with time zone NOT NULL
);



CREATE TABLE tickets.loop_budget (
    address text NOT NULL,
    ticket_id uuid NOT NULL,
    kind smallint NOT NULL,
    tokens double precision NOT NULL,
    refilled_at timestamp with time zone NOT NULL,
    version bigint NOT NULL
)
WITH (fillfactor='80');



CREATE TABLE tickets.merge_suggestion (
    first_id uuid NOT NULL,
    second_id uuid NOT NULL,
    reason text NOT NULL,
    kind smallint NOT NULL,
    value text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT merge_suggestion_check CHECK ((first_id < second_id))
);



CREATE TABLE tickets.merged_message (
    merge_id uuid NOT NULL,
    message_id uuid NOT NULL,
    sequence bigint NOT NULL,
    request_id text
);



CREATE TABLE tickets.message (
    id uuid NOT NULL,
    ticket_id uuid NOT NULL,
    sequence bigint NOT NULL,
    channel smallint NOT NULL,
    account text NOT NULL,
    external_id text DEFAULT ''::text NOT NULL,
    author_kind smallint NOT NULL,
    author_id text NOT NULL,
    author_name text DEFAULT ''::text NOT NULL,
    address text DEFAULT ''::text NOT NULL,
    public boolean NOT NULL,
    subject text DEFAULT ''::text NOT NULL,
    body_text text NOT NULL,
    body_html text DEFAULT ''::text NOT NULL,
    attachments jsonb DEFAULT '[]'::jsonb NOT NULL,
    fields jsonb,
    notices text[] DEFAULT '{}'::text[] NOT NULL,
    automatic_class smallint NOT NULL,
    sender_verified boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone NOT NULL,
    sent_at timestamp with time zone,
    delivery_state smallint DEFAULT 0 NOT NULL,
    delivery_error text DEFAULT ''::text NOT NULL,
    request_id text,
    message_id_header text DEFAULT ''::text NOT NULL,
    quote_offset integer,
    signature_offset integer,
    side_conversation_id uuid,
    author_address text DEFAULT ''::text NOT NULL
);



CREATE TABLE tickets.organization (
    id uuid NOT NULL,
    display_name text NOT NULL,
    notes text DEFAULT ''::text NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    request_id text
);



CREATE TABLE tickets.organization_domain (
    domain text NOT NULL,
    organization_id uuid NOT NULL
);



CREATE TABLE tickets.outbox (
    id bigint NOT NULL,
    event_id uuid NOT NULL,
    family text NOT NULL,
    shard integer NOT NULL,
    event bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    sent_at timestamp with time zone
);



ALTER TABLE tickets.outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME tickets.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE tickets.participant (
    ticket_id uuid NOT NULL,
    address text NOT NULL
);



CREATE TABLE tickets.quarantine (
    message_id uuid NOT NULL,
    channel smallint NOT NULL,
    account text NOT NULL,
    sender text NOT NULL,
    subject text NOT NULL,
    cause_code text NOT NULL,
    automatic_class smallint NOT NULL,
    quarantined_at timestamp with time zone NOT NULL,
    released_at timestamp with time zone,
    message bytea NOT NULL,
    rejected_at timestamp with time zone,
    rejected_by text DEFAULT ''::text NOT NULL,
    reject_reason text DEFAULT ''::text NOT NULL,
    sweep_at timestamp with time zone
);



CREATE TABLE tickets.quarantine_key (
    channel smallint NOT NULL,
    account text NOT NULL,
    key text NOT NULL,
    message_id uuid NOT NULL
);



CREATE TABLE tickets.raw_original (
    message_id uuid NOT NULL,
    content_type text NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 text NOT NULL,
    object_key text,
    content bytea
);
ALTER TABLE ONLY tickets.raw_original ALTER COLUMN content SET STORAGE EXTERNAL;



CREATE TABLE tickets.side_conversation (
    id uuid NOT NULL,
    ticket_id uuid NOT NULL,
    address text NOT NULL,
    display_name text NOT NULL,
    message_id uuid NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone NOT NULL
);



CREATE TABLE tickets.sighting (
    id uuid NOT NULL,
    contact_id uuid NOT NULL,
    name text NOT NULL,
    evidence jsonb NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    pending boolean DEFAULT true NOT NULL
);



CREATE TABLE tickets.sighting_value (
    kind smallint NOT NULL,
    value text NOT NULL,
    sighting_id uuid NOT NULL
);



CREATE TABLE tickets.thread_claim (
    channel smallint NOT NULL,
    account text NOT NULL,
    key text NOT NULL,
    party text NOT NULL,
    ticket_id uuid NOT NULL
);



CREATE TABLE tickets.thread_key (
    channel smallint NOT NULL,
    account text NOT NULL,
    key text NOT NULL,
    ticket_id uuid NOT NULL,
    named_by text DEFAULT ''::text NOT NULL
);



CREATE TABLE tickets.ticket (
    id uuid NOT NULL,
    number bigint NOT NULL,
    subject text NOT NULL,
    status text NOT NULL,
    priority text NOT NULL,
    contact_id uuid NOT NULL,
    channel smallint NOT NULL,
    account text NOT NULL,
    recipient text NOT NULL,
    conversation_key text NOT NULL,
    team_id uuid,
    assignee_id uuid,
    assign_reason text DEFAULT ''::text NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    language text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    close_at timestamp with time zone,
    first_response_due timestamp with time zone,
    next_response_due timestamp with time zone,
    resolution_due timestamp with time zone,
    next_due timestamp with time zone GENERATED ALWAYS AS (LEAST(first_response_due, next_response_due, resolution_due)) STORED,
    breached boolean DEFAULT false NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    routing_version bigint DEFAULT 1 NOT NULL,
    sla_version bigint DEFAULT 0 NOT NULL,
    sla_decided_at timestamp with time zone,
    message_count bigint DEFAULT 0 NOT NULL,
    channels integer DEFAULT 0 NOT NULL,
    previous_ticket_id uuid,
    next_ticket_id uuid,
    merged_into uuid,
    moved_away bigint DEFAULT 0 NOT NULL,
    touched boolean DEFAULT false NOT NULL
);



CREATE TABLE tickets.ticket_link (
    ticket_id uuid NOT NULL,
    other_id uuid NOT NULL,
    kind text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT ticket_link_kind_check CHECK ((kind = ANY (ARRAY['mentions'::text, 'same_thread'::text, 'split'::text])))
);



CREATE TABLE tickets.ticket_merge (
    id uuid NOT NULL,
    source_id uuid NOT NULL,
    target_id uuid NOT NULL,
    source_status text NOT NULL,
    participants text[] NOT NULL,
    actor_kind smallint NOT NULL,
    actor_id text NOT NULL,
    reason text NOT NULL,
    merged_at timestamp with time zone NOT NULL,
    unmerged_at timestamp with time zone
);



CREATE SEQUENCE tickets.ticket_number
    START WITH 1000
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;



ALTER TABLE ONLY access.token
    ADD CONSTRAINT token_hash_key UNIQUE (hash);



ALTER TABLE ONLY access.token
    ADD CONSTRAINT token_pkey PRIMARY KEY (id);



ALTER TABLE ONLY chat.message
    ADD CONSTRAINT message_message_id_key UNIQUE (message_id);



ALTER TABLE ONLY chat.message
    ADD CONSTRAINT message_pkey PRIMARY KEY (session_id, seq);



ALTER TABLE ONLY chat.session
    ADD CONSTRAINT session_pkey PRIMARY KEY (id);



ALTER TABLE ONLY chat.session
    ADD CONSTRAINT session_token_sha256_key UNIQUE (token_sha256);



ALTER TABLE ONLY connector.outbound
    ADD CONSTRAINT outbound_pkey PRIMARY KEY (message_id);



ALTER TABLE ONLY email.cursor
    ADD CONSTRAINT cursor_pkey PRIMARY KEY (account, mailbox, place, uid_validity);



ALTER TABLE ONLY email.hook_token
    ADD CONSTRAINT hook_token_pkey PRIMARY KEY (token);



ALTER TABLE ONLY email.skipped
    ADD CONSTRAINT skipped_pkey PRIMARY KEY (account, mailbox, place, uid_validity, uid);



ALTER TABLE ONLY platform.lease
    ADD CONSTRAINT lease_pkey PRIMARY KEY (name, shard);



ALTER TABLE ONLY platform.member
    ADD CONSTRAINT member_pkey PRIMARY KEY (name, holder);



ALTER TABLE ONLY public._sqlx_migrations
    ADD CONSTRAINT _sqlx_migrations_pkey PRIMARY KEY (version);



ALTER TABLE ONLY routing.absence
    ADD CONSTRAINT absence_pkey PRIMARY KEY (agent_id, starts_at);



ALTER TABLE ONLY routing.agent
    ADD CONSTRAINT agent_pkey PRIMARY KEY (id);



ALTER TABLE ONLY routing.agent_team
    ADD CONSTRAINT agent_team_pkey PRIMARY KEY (agent_id, team_id);



ALTER TABLE ONLY routing.decision
    ADD CONSTRAINT decision_pkey PRIMARY KEY (id);



ALTER TABLE ONLY routing.inbox
    ADD CONSTRAINT inbox_pkey PRIMARY KEY (consumer, event_id);



ALTER TABLE ONLY routing.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);



ALTER TABLE ONLY routing.rule
    ADD CONSTRAINT rule_pkey PRIMARY KEY (id);



ALTER TABLE ONLY routing.rule_set
    ADD CONSTRAINT rule_set_pkey PRIMARY KEY (only_row);



ALTER TABLE ONLY routing.rule_version
    ADD CONSTRAINT rule_version_pkey PRIMARY KEY (rule_id, version, deleted);



ALTER TABLE ONLY routing.team
    ADD CONSTRAINT team_pkey PRIMARY KEY (id);



ALTER TABLE ONLY routing.ticket
    ADD CONSTRAINT ticket_pkey PRIMARY KEY (ticket_id);



ALTER TABLE ONLY sla.calendar
    ADD CONSTRAINT calendar_pkey PRIMARY KEY (id, version);



ALTER TABLE ONLY sla.catalogue
    ADD CONSTRAINT catalogue_pkey PRIMARY KEY (only_row);



ALTER TABLE ONLY sla.clock_event
    ADD CONSTRAINT clock_event_pkey PRIMARY KEY (ticket_id, id);



ALTER TABLE ONLY sla.cycle
    ADD CONSTRAINT cycle_pkey PRIMARY KEY (ticket_id, metric, cycle);



ALTER TABLE ONLY sla.edit
    ADD CONSTRAINT edit_pkey PRIMARY KEY (id);



ALTER TABLE ONLY sla.inbox
    ADD CONSTRAINT inbox_pkey PRIMARY KEY (consumer, event_id);



ALTER TABLE ONLY sla.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);



ALTER TABLE ONLY sla.policy
    ADD CONSTRAINT policy_pkey PRIMARY KEY (id, version);



ALTER TABLE ONLY sla.team_calendar
    ADD CONSTRAINT team_calendar_pkey PRIMARY KEY (team_id);



ALTER TABLE ONLY sla.ticket_clock
    ADD CONSTRAINT ticket_clock_pkey PRIMARY KEY (ticket_id);



ALTER TABLE ONLY tickets.agent
    ADD CONSTRAINT agent_pkey PRIMARY KEY (id);



ALTER TABLE ONLY tickets.blocked_sender
    ADD CONSTRAINT blocked_sender_pkey PRIMARY KEY (pattern);



ALTER TABLE ONLY tickets.contact_apart
    ADD CONSTRAINT contact_apart_pkey PRIMARY KEY (first_id, second_id);



ALTER TABLE ONLY tickets.contact_attribute
    ADD CONSTRAINT contact_attribute_pkey PRIMARY KEY (name);



ALTER TABLE ONLY tickets.contact_merge
    ADD CONSTRAINT contact_merge_pkey PRIMARY KEY (id);



ALTER TABLE ONLY tickets.contact
    ADD CONSTRAINT contact_pkey PRIMARY KEY (id);



ALTER TABLE ONLY tickets.early_report
    ADD CONSTRAINT early_report_pkey PRIMARY KEY (channel, account, external_id, state);



ALTER TABLE ONLY tickets.erased_object
    ADD CONSTRAINT erased_object_pkey PRIMARY KEY (key);



ALTER TABLE ONLY tickets.identity
    ADD CONSTRAINT identity_pkey PRIMARY KEY (kind, scope, value);



ALTER TABLE ONLY tickets.inbox
    ADD CONSTRAINT inbox_pkey PRIMARY KEY (consumer, event_id);



ALTER TABLE ONLY tickets.loop_budget
    ADD CONSTRAINT loop_budget_pkey PRIMARY KEY (address, ticket_id, kind);



ALTER TABLE ONLY tickets.merge_suggestion
    ADD CONSTRAINT merge_suggestion_pkey PRIMARY KEY (first_id, second_id);



ALTER TABLE ONLY tickets.merged_message
    ADD CONSTRAINT merged_message_pkey PRIMARY KEY (merge_id, message_id);



ALTER TABLE ONLY tickets.message
    ADD CONSTRAINT message_pkey PRIMARY KEY (id);



ALTER TABLE ONLY tickets.message
    ADD CONSTRAINT message_ticket_id_sequence_key UNIQUE (ticket_id, sequence);



ALTER TABLE ONLY tickets.organization_domain
    ADD CONSTRAINT organization_domain_pkey PRIMARY KEY (domain);



ALTER TABLE ONLY tickets.organization
    ADD CONSTRAINT organization_pkey PRIMARY KEY (id);



ALTER TABLE ONLY tickets.organization
    ADD CONSTRAINT organization_request_id_key UNIQUE (request_id);



ALTER TABLE ONLY tickets.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);



ALTER TABLE ONLY tickets.participant
    ADD CONSTRAINT participant_pkey PRIMARY KEY (ticket_id, address);



ALTER TABLE ONLY tickets.quarantine_key
    ADD CONSTRAINT quarantine_key_pkey PRIMARY KEY (channel, account, key, message_id);



ALTER TABLE ONLY tickets.quarantine
    ADD CONSTRAINT quarantine_pkey PRIMARY KEY (message_id);



ALTER TABLE ONLY tickets.raw_original
    ADD CONSTRAINT raw_original_pkey PRIMARY KEY (message_id);



ALTER TABLE ONLY tickets.side_conversation
    ADD CONSTRAINT side_conversation_pkey PRIMARY KEY (id);



ALTER TABLE ONLY tickets.sighting
    ADD CONSTRAINT sighting_pkey PRIMARY KEY (id);



ALTER TABLE ONLY tickets.sighting_value
    ADD CONSTRAINT sighting_value_pkey PRIMARY KEY (kind, value, sighting_id);



ALTER TABLE ONLY tickets.thread_claim
    ADD CONSTRAINT thread_claim_pkey PRIMARY KEY (channel, account, key, party);



ALTER TABLE ONLY tickets.thread_key
    ADD CONSTRAINT thread_key_pkey PRIMARY KEY (channel, account, key);



ALTER TABLE ONLY tickets.ticket_link
    ADD CONSTRAINT ticket_link_pkey PRIMARY KEY (ticket_id, other_id, kind);



ALTER TABLE ONLY tickets.ticket_merge
    ADD CONSTRAINT ticket_merge_pkey PRIMARY KEY (id);



ALTER TABLE ONLY tickets.ticket
    ADD CONSTRAINT ticket_number_key UNIQUE (number);



ALTER TABLE ONLY tickets.ticket
    ADD CONSTRAINT ticket_pkey PRIMARY KEY (id);



CREATE UNIQUE INDEX message_client_id ON chat.message USING btree (session_id, client_msg_id) WHERE (client_msg_id IS NOT NULL);



CREATE INDEX message_pending ON chat.message USING btree (created_at) WHERE (pending IS NOT NULL);



CREATE INDEX session_expired ON chat.session USING btree (expires_at);



CREATE INDEX session_unreported ON chat.session USING btree (id) WHERE ((delivered_seq > reported_delivered_seq) OR (read_seq > reported_read_seq));



CREATE INDEX outbound_claimed ON connector.outbound USING btree (channel, claimed_until) WHERE (state = 'sending'::text);



CREATE INDEX outbound_due ON connector.outbound USING btree (channel, next_attempt_at) WHERE (state = 'queued'::text);



CREATE INDEX outbound_finished ON connector.outbound USING btree (finished_at) WHERE reported;



CREATE INDEX outbound_order ON connector.outbound USING btree (channel, account, conversation_key, sequence) WHERE (state = ANY (ARRAY['queued'::text, 'sending'::text]));



CREATE INDEX outbound_unreported ON connector.outbound USING btree (channel, finished_at) WHERE ((NOT reported) AND (finished_at IS NOT NULL));



CREATE INDEX hook_token_expiry ON email.hook_token USING btree (expires_at);



CREATE INDEX skipped_at ON email.skipped USING btree (skipped_at);



CREATE INDEX agent_alive ON routing.agent USING btree (alive_until) WHERE ((alive_until IS NOT NULL) AND (presence <> 'offline'::text));



CREATE UNIQUE INDEX agent_email ON routing.agent USING btree (lower(email)) WHERE (email <> ''::text);



CREATE INDEX agent_team_team ON routing.agent_team USING btree (team_id);



CREATE INDEX decision_taken ON routing.decision USING btree (team_id, decided_at) WHERE (agent_id IS NOT NULL);



CREATE INDEX decision_ticket ON routing.decision USING btree (ticket_id, seq);



CREATE INDEX inbox_seen ON routing.inbox USING brin (seen_at);



CREATE INDEX outbox_sent ON routing.outbox USING btree (sent_at) WHERE (sent_at IS NOT NULL);



CREATE INDEX outbox_unsent ON routing.outbox USING btree (id) WHERE (sent_at IS NULL);



CREATE INDEX rule_position ON routing.rule USING btree ("position", id);



CREATE UNIQUE INDEX team_default ON routing.team USING btree (is_default) WHERE is_default;



CREATE UNIQUE INDEX team_name ON routing.team USING btree (lower(display_name));



CREATE INDEX ticket_contact ON routing.ticket USING btree (contact_id, touched_at) WHERE (assignee_id IS NOT NULL);



CREATE INDEX ticket_created ON routing.ticket USING btree (created_at);



CREATE INDEX ticket_live ON routing.ticket USING btree (ticket_id) WHERE (state <> 'done'::text);



CREATE INDEX cycle_counted ON sla.cycle USING btree (counted_at);



CREATE INDEX inbox_seen ON sla.inbox USING brin (seen_at);



CREATE INDEX outbox_sent ON sla.outbox USING btree (sent_at) WHERE (sent_at IS NOT NULL);



CREATE INDEX outbox_unsent ON sla.outbox USING btree (id) WHERE (sent_at IS NULL);



CREATE UNIQUE INDEX policy_current ON sla.policy USING btree (id) WHERE current;



CREATE INDEX ticket_clock_wake ON sla.ticket_clock USING btree (wake_at) WHERE (wake_at IS NOT NULL);



CREATE UNIQUE INDEX agent_address ON tickets.agent USING btree (address);



CREATE INDEX contact_apart_second ON tickets.contact_apart USING btree (second_id);



CREATE INDEX contact_created ON tickets.contact USING btree (created_at DESC, id DESC);



CREATE INDEX contact_merge_loser ON tickets.contact_merge USING btree (loser_id);



CREATE UNIQUE INDEX contact_merge_pair ON tickets.contact_merge USING btree (LEAST(winner_id, loser_id), GREATEST(winner_id, loser_id)) WHERE (undone_at IS NULL);



CREATE INDEX contact_merge_request ON tickets.contact_merge USING btree (request_id) WHERE (request_id IS NOT NULL);



CREATE INDEX contact_merge_winner ON tickets.contact_merge USING btree (winner_id);



CREATE INDEX contact_organization ON tickets.contact USING btree (organization_id, created_at DESC, id DESC) WHERE (organization_id IS NOT NULL);



CREATE UNIQUE INDEX contact_request ON tickets.contact USING btree (request_id) WHERE (request_id IS NOT NULL);



CREATE INDEX contact_root ON tickets.contact USING btree (root_id) WHERE (root_id IS NOT NULL);



CREATE INDEX identity_contact ON tickets.identity USING btree (contact_id);



CREATE INDEX identity_value ON tickets.identity USING btree (value);



CREATE INDEX inbox_seen ON tickets.inbox USING brin (seen_at);



CREATE INDEX loop_budget_old ON tickets.loop_budget USING brin (refilled_at);



CREATE INDEX merge_suggestion_created ON tickets.merge_suggestion USING btree (created_at DESC, first_id DESC, second_id DESC);



CREATE INDEX merge_suggestion_second ON tickets.merge_suggestion USING btree (second_id);



CREATE INDEX message_author ON tickets.message USING btree (author_id, created_at DESC, id DESC) WHERE (author_kind = 1);



CREATE UNIQUE INDEX message_inbound ON tickets.message USING btree (channel, account, external_id) WHERE ((author_kind = 1) AND (external_id <> ''::text));



CREATE INDEX message_object ON tickets.message USING gin (attachments jsonb_path_ops) WHERE (attachments <> '[]'::jsonb);



CREATE INDEX message_outbound ON tickets.message USING btree (channel, account, external_id) WHERE ((author_kind <> 1) AND (external_id <> ''::text));



CREATE UNIQUE INDEX message_request ON tickets.message USING btree (ticket_id, request_id) WHERE (request_id IS NOT NULL);



CREATE INDEX organization_created ON tickets.organization USING btree (created_at DESC, id DESC);



CREATE INDEX organization_domain_of ON tickets.organization_domain USING btree (organization_id);



CREATE INDEX outbox_sent ON tickets.outbox USING btree (sent_at) WHERE (sent_at IS NOT NULL);



CREATE INDEX outbox_unsent ON tickets.outbox USING btree (id) WHERE (sent_at IS NULL);



CREATE INDEX quarantine_age ON tickets.quarantine USING btree (quarantined_at);



CREATE INDEX quarantine_key_message ON tickets.quarantine_key USING btree (message_id);



CREATE INDEX quarantine_rejected ON tickets.quarantine USING btree (quarantined_at, message_id) WHERE ((released_at IS NULL) AND (rejected_at IS NOT NULL));



CREATE INDEX quarantine_sweep ON tickets.quarantine USING btree (sweep_at) WHERE ((released_at IS NULL) AND (rejected_at IS NULL) AND (sweep_at IS NOT NULL));



CREATE INDEX quarantine_waiting ON tickets.quarantine USING btree (quarantined_at, message_id) WHERE ((released_at IS NULL) AND (rejected_at IS NULL));



CREATE INDEX raw_original_object ON tickets.raw_original USING btree (object_key) WHERE (object_key IS NOT NULL);



CREATE UNIQUE INDEX side_conversation_message ON tickets.side_conversation USING btree (message_id);



CREATE INDEX side_conversation_ticket ON tickets.side_conversation USING btree (ticket_id);



CREATE INDEX sighting_contact ON tickets.sighting USING btree (contact_id);



CREATE INDEX sighting_pending ON tickets.sighting USING btree (seen_at, id) WHERE pending;



CREATE INDEX sighting_value_sighting ON tickets.sighting_value USING btree (sighting_id);



CREATE INDEX ticket_assignee ON tickets.ticket USING btree (assignee_id) WHERE (assignee_id IS NOT NULL);



CREATE INDEX ticket_close ON tickets.ticket USING btree (close_at) WHERE (close_at IS NOT NULL);



CREATE INDEX ticket_contact ON tickets.ticket USING btree (contact_id, created_at DESC);



CREATE INDEX ticket_link_other ON tickets.ticket_link USING btree (other_id);



CREATE UNIQUE INDEX ticket_merge_source ON tickets.ticket_merge USING btree (source_id) WHERE (unmerged_at IS NULL);



CREATE INDEX ticket_merge_target ON tickets.ticket_merge USING btree (target_id) WHERE (unmerged_at IS NULL);



CREATE INDEX ticket_merged_into ON tickets.ticket USING btree (merged_into) WHERE (merged_into IS NOT NULL);



CREATE INDEX ticket_urgency ON tickets.ticket USING btree (next_due, id);



ALTER TABLE ONLY chat.message
    ADD CONSTRAINT message_session_id_fkey FOREIGN KEY (session_id) REFERENCES chat.session(id) ON DELETE CASCADE;



ALTER TABLE ONLY routing.absence
    ADD CONSTRAINT absence_agent_id_fkey FOREIGN KEY (agent_id) REFERENCES routing.agent(id) ON DELETE CASCADE;



ALTER TABLE ONLY routing.agent_team
    ADD CONSTRAINT agent_team_agent_id_fkey FOREIGN KEY (agent_id) REFERENCES routing.agent(id) ON DELETE CASCADE;



ALTER TABLE ONLY routing.agent_team
    ADD CONSTRAINT agent_team_team_id_fkey FOREIGN KEY (team_id) REFERENCES routing.team(id);



ALTER TABLE ONLY routing.rule
    ADD CONSTRAINT rule_agent_id_fkey FOREIGN KEY (agent_id) REFERENCES routing.agent(id);



ALTER TABLE ONLY routing.rule
    ADD CONSTRAINT rule_team_id_fkey FOREIGN KEY (team_id) REFERENCES routing.team(id);



ALTER TABLE ONLY sla.ticket_clock
    ADD CONSTRAINT ticket_clock_policy_id_policy_version_fkey FOREIGN KEY (policy_id, policy_version) REFERENCES sla.policy(id, version);



ALTER TABLE ONLY tickets.contact_merge
    ADD CONSTRAINT contact_merge_loser_id_fkey FOREIGN KEY (loser_id) REFERENCES tickets.contact(id);



ALTER TABLE ONLY tickets.contact_merge
    ADD CONSTRAINT contact_merge_winner_id_fkey FOREIGN KEY (winner_id) REFERENCES tickets.contact(id);



ALTER TABLE ONLY tickets.identity
    ADD CONSTRAINT identity_contact_id_fkey FOREIGN KEY (contact_id) REFERENCES tickets.contact(id) DEFERRABLE INITIALLY DEFERRED;



ALTER TABLE ONLY tickets.merged_message
    ADD CONSTRAINT merged_message_merge_id_fkey FOREIGN KEY (merge_id) REFERENCES tickets.ticket_merge(id);



ALTER TABLE ONLY tickets.message
    ADD CONSTRAINT message_ticket_id_fkey FOREIGN KEY (ticket_id) REFERENCES tickets.ticket(id) DEFERRABLE INITIALLY DEFERRED;



ALTER TABLE ONLY tickets.organization_domain
    ADD CONSTRAINT organization_domain_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES tickets.organization(id) ON DELETE CASCADE;



ALTER TABLE ONLY tickets.side_conversation
    ADD CONSTRAINT side_conversation_ticket_id_fkey FOREIGN KEY (ticket_id) REFERENCES tickets.ticket(id) DEFERRABLE INITIALLY DEFERRED;



ALTER TABLE ONLY tickets.ticket
    ADD CONSTRAINT ticket_contact_id_fkey FOREIGN KEY (contact_id) REFERENCES tickets.contact(id) DEFERRABLE INITIALLY DEFERRED;



ALTER TABLE ONLY tickets.ticket_merge
    ADD CONSTRAINT ticket_merge_source_id_fkey FOREIGN KEY (source_id) REFERENCES tickets.ticket(id) DEFERRABLE INITIALLY DEFERRED;



ALTER TABLE ONLY tickets.ticket_merge
    ADD CONSTRAINT ticket_merge_target_id_fkey FOREIGN KEY (target_id) REFERENCES tickets.ticket(id) DEFERRABLE INITIALLY DEFERRED;
