-- Tables of a home of revision 0005 of the first numbering, as commit c03696b5 made them.
PRAGMA application_id = 1952543595;
PRAGMA journal_mode = WAL;
CREATE TABLE backups (
    id INTEGER NOT NULL,
    kind VARCHAR(16) NOT NULL,
    file TEXT NOT NULL,
    parent_id INTEGER,
    bytes INTEGER,
    sha256 BLOB,
    verified_at VARCHAR(27),
    problem TEXT,
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    CONSTRAINT pk_backups PRIMARY KEY (id),
    CONSTRAINT fk_backups_parent_id_backups FOREIGN KEY(parent_id) REFERENCES backups (id)
);
CREATE TABLE counters (
    name TEXT NOT NULL,
    value INTEGER NOT NULL,
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    CONSTRAINT pk_counters PRIMARY KEY (name)
);
CREATE TABLE discarded_logs (
    runid VARCHAR(36) NOT NULL,
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    CONSTRAINT pk_discarded_logs PRIMARY KEY (runid)
);
CREATE TABLE environments (
    sha256 VARCHAR(64) NOT NULL,
    variables JSON NOT NULL,
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    CONSTRAINT pk_environments PRIMARY KEY (sha256)
);
CREATE TABLE events (
    id INTEGER NOT NULL,
    task_id VARCHAR(36) NOT NULL,
    runid VARCHAR(36),
    status VARCHAR(16) NOT NULL,
    "by" VARCHAR(200) NOT NULL,
    note TEXT,
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    CONSTRAINT pk_events PRIMARY KEY (id)
);
CREATE TABLE forgotten (
    runid VARCHAR(36) NOT NULL,
    task_id VARCHAR(36) NOT NULL,
    number INTEGER,
    status VARCHAR(16) NOT NULL,
    ended_at VARCHAR(27),
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    CONSTRAINT pk_forgotten PRIMARY KEY (runid)
);
CREATE TABLE history (
    width INTEGER NOT NULL,
    at VARCHAR(27) NOT NULL,
    queue VARCHAR(200) NOT NULL,
    pool VARCHAR(200) NOT NULL,
    template VARCHAR(200) NOT NULL,
    started INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    waits TEXT NOT NULL,
    runs TEXT NOT NULL,
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    CONSTRAINT pk_history PRIMARY KEY (width, at, queue, pool, template)
)
 WITHOUT ROWID

;
CREATE TABLE operations (
    id INTEGER NOT NULL,
    "by" VARCHAR(200) NOT NULL,
    verb VARCHAR(64) NOT NULL,
    object TEXT NOT NULL,
    "before" JSON,
    "after" JSON,
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    source VARCHAR(16),
    origin VARCHAR(64),
    batch INTEGER,
    undoes INTEGER,
    undone_by INTEGER,
    CONSTRAINT pk_operations PRIMARY KEY (id)
);
CREATE TABLE replicas (
    target TEXT NOT NULL,
    origin TEXT NOT NULL,
    at VARCHAR(27),
    synced_at VARCHAR(27),
    problem TEXT,
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    CONSTRAINT pk_replicas PRIMARY KEY (target)
);
CREATE TABLE samples (
    kind VARCHAR(8) NOT NULL,
    name VARCHAR(200) NOT NULL,
    minute VARCHAR(27) NOT NULL,
    running INTEGER DEFAULT '0' NOT NULL,
    waiting INTEGER DEFAULT '0' NOT NULL,
    started INTEGER DEFAULT '0' NOT NULL,
    ended INTEGER DEFAULT '0' NOT NULL,
    failed INTEGER DEFAULT '0' NOT NULL,
    used_cpu FLOAT,
    used_memory FLOAT,
    measured_cpu FLOAT,
    measured_memory FLOAT,
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    CONSTRAINT pk_samples PRIMARY KEY (kind, name, minute)
);
CREATE TABLE slas (
    id INTEGER NOT NULL,
    name VARCHAR(200) NOT NULL,
    conditions JSON NOT NULL,
    actions JSON NOT NULL,
    priority INTEGER DEFAULT '2' NOT NULL,
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    enabled BOOLEAN DEFAULT 1 NOT NULL,
    CONSTRAINT pk_slas PRIMARY KEY (id),
    CONSTRAINT uq_slas_name UNIQUE (name)
);
CREATE TABLE slow_queries (
    id INTEGER NOT NULL,
    statement TEXT NOT NULL,
    seconds FLOAT NOT NULL,
    "plan" TEXT,
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    caller VARCHAR(64) DEFAULT '' NOT NULL,
    count INTEGER DEFAULT 1 NOT NULL,
    worst FLOAT DEFAULT 0 NOT NULL,
    total FLOAT DEFAULT 0 NOT NULL,
    CONSTRAINT pk_slow_queries PRIMARY KEY (id)
);
CREATE TABLE stale_texts (
    number INTEGER NOT NULL,
    changes INTEGER NOT NULL,
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    CONSTRAINT pk_stale_texts PRIMARY KEY (number)
);
CREATE TABLE pools (
    name VARCHAR(200) NOT NULL,
    total_cpu FLOAT NOT NULL,
    total_memory FLOAT NOT NULL,
    used_cpu FLOAT DEFAULT '0' NOT NULL,
    used_memory FLOAT DEFAULT '0' NOT NULL,
    status VARCHAR(16) NOT NULL,
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    sla_id INTEGER,
    description TEXT,
    status_by VARCHAR(200),
    status_at VARCHAR(27),
    CONSTRAINT pk_pools PRIMARY KEY (name),
    CONSTRAINT ck_pools_status CHECK (status IN ('active', 'paused', 'draining')),
    CONSTRAINT ck_pools_totals CHECK (total_cpu >= 0 AND total_memory >= 0),
    CONSTRAINT fk_pools_sla_id_slas FOREIGN KEY(sla_id) REFERENCES slas (id)
);
CREATE TABLE silences (
    id INTEGER NOT NULL,
    sla_id INTEGER NOT NULL,
    "by" VARCHAR(200) NOT NULL,
    reason TEXT,
    until VARCHAR(27) NOT NULL,
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    CONSTRAINT pk_silences PRIMARY KEY (id),
    CONSTRAINT fk_silences_sla_id_slas FOREIGN KEY(sla_id) REFERENCES slas (id)
);
CREATE TABLE queues (
    name VARCHAR(200) NOT NULL,
    capacity INTEGER NOT NULL,
    current_load INTEGER DEFAULT '0' NOT NULL,
    status VARCHAR(16) NOT NULL,
    priority INTEGER DEFAULT '0' NOT NULL,
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    pool VARCHAR(200) NOT NULL,
    description TEXT,
    status_by VARCHAR(200),
    status_at VARCHAR(27),
    CONSTRAINT pk_queues PRIMARY KEY (name),
    CONSTRAINT ck_queues_status CHECK (status IN ('active', 'paused', 'draining')),
    CONSTRAINT ck_queues_capacity CHECK (capacity >= 0),
    CONSTRAINT fk_queues_pool_pools FOREIGN KEY(pool) REFERENCES pools (name)
);
CREATE TABLE templates (
    name VARCHAR(200) NOT NULL,
    type VARCHAR(200) NOT NULL,
    engine VARCHAR(32) NOT NULL,
    template JSON,
    schema JSON NOT NULL,
    parameters JSON NOT NULL,
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    description TEXT,
    queue VARCHAR(200),
    cpu FLOAT,
    memory FLOAT,
    timeout FLOAT,
    retries INTEGER,
    retired_at VARCHAR(27),
    CONSTRAINT pk_templates PRIMARY KEY (name),
    CONSTRAINT fk_templates_queue_queues FOREIGN KEY(queue) REFERENCES queues (name)
);
CREATE TABLE schedules (
    name VARCHAR(200) NOT NULL,
    template VARCHAR(200),
    spec JSON NOT NULL,
    cron TEXT,
    every FLOAT,
    timezone VARCHAR(64),
    enabled BOOLEAN DEFAULT 1 NOT NULL,
    missed VARCHAR(16) DEFAULT 'once' NOT NULL,
    last_fire VARCHAR(27),
    next_fire VARCHAR(27),
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    CONSTRAINT pk_schedules PRIMARY KEY (name),
    CONSTRAINT fk_schedules_template_templates FOREIGN KEY(template) REFERENCES templates (name)
);
CREATE TABLE tasks (
    uuid VARCHAR(36) NOT NULL,
    name VARCHAR(200) NOT NULL,
    template VARCHAR(200),
    type VARCHAR(200) NOT NULL,
    status VARCHAR(16) NOT NULL,
    parameters JSON NOT NULL,
    priority INTEGER DEFAULT '0' NOT NULL,
    timeout FLOAT,
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    number INTEGER NOT NULL,
    queue VARCHAR(200) NOT NULL,
    cpu FLOAT DEFAULT '1' NOT NULL,
    memory FLOAT DEFAULT '0' NOT NULL,
    retries INTEGER DEFAULT '0' NOT NULL,
    retry_delay FLOAT DEFAULT '1' NOT NULL,
    grace FLOAT DEFAULT '5' NOT NULL,
    not_before VARCHAR(27),
    retry_at VARCHAR(27),
    hold BOOLEAN DEFAULT 0 NOT NULL,
    held_by VARCHAR(200),
    front INTEGER DEFAULT '0' NOT NULL,
    tags JSON NOT NULL,
    env_id VARCHAR(64),
    env JSON,
    cwd TEXT NOT NULL,
    umask INTEGER DEFAULT '18' NOT NULL,
    launch JSON NOT NULL,
    log_limit FLOAT,
    submitted_by VARCHAR(200) NOT NULL,
    pinned BOOLEAN DEFAULT 0 NOT NULL,
    reason TEXT,
    attempts INTEGER DEFAULT '0' NOT NULL,
    failures INTEGER DEFAULT '0' NOT NULL,
    started_at VARCHAR(27),
    ended_at VARCHAR(27),
    deleted_at VARCHAR(27),
    CONSTRAINT pk_tasks PRIMARY KEY (uuid),
    CONSTRAINT ck_tasks_status CHECK (status IN ('scheduled', 'blocked', 'held', 'queued', 'running', 'retrying', 'succeeded', 'failed', 'timed_out', 'cancelled', 'lost')),
    CONSTRAINT fk_tasks_template_templates FOREIGN KEY(template) REFERENCES templates (name),
    CONSTRAINT fk_tasks_queue_queues FOREIGN KEY(queue) REFERENCES queues (name),
    CONSTRAINT fk_tasks_env_id_environments FOREIGN KEY(env_id) REFERENCES environments (sha256)
);
CREATE TABLE alerts (
    id INTEGER NOT NULL,
    sla_id INTEGER,
    name VARCHAR(200) NOT NULL,
    severity VARCHAR(8) NOT NULL,
    status VARCHAR(16) NOT NULL,
    task_id VARCHAR(36),
    object TEXT NOT NULL,
    text TEXT NOT NULL,
    short TEXT NOT NULL,
    value FLOAT,
    "limit" FLOAT,
    fired_at VARCHAR(27) NOT NULL,
    acknowledged_at VARCHAR(27),
    acknowledged_by VARCHAR(200),
    resolved_at VARCHAR(27),
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    CONSTRAINT pk_alerts PRIMARY KEY (id),
    CONSTRAINT ck_alerts_status CHECK (status IN ('pending', 'firing', 'acknowledged', 'resolved')),
    CONSTRAINT fk_alerts_sla_id_slas FOREIGN KEY(sla_id) REFERENCES slas (id),
    CONSTRAINT fk_alerts_task_id_tasks FOREIGN KEY(task_id) REFERENCES tasks (uuid) ON DELETE SET NULL
);
CREATE TABLE dependencies (
    task_id VARCHAR(36) NOT NULL,
    parent_id VARCHAR(36) NOT NULL,
    kind VARCHAR(8) NOT NULL,
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    CONSTRAINT pk_dependencies PRIMARY KEY (task_id, parent_id),
    CONSTRAINT ck_dependencies_kind CHECK (kind IN ('success', 'any')),
    CONSTRAINT fk_dependencies_task_id_tasks FOREIGN KEY(task_id) REFERENCES tasks (uuid) ON DELETE CASCADE,
    CONSTRAINT fk_dependencies_parent_id_tasks FOREIGN KEY(parent_id) REFERENCES tasks (uuid) ON DELETE CASCADE
);
CREATE TABLE instances (
    runid VARCHAR(36) NOT NULL,
    task_id VARCHAR(36) NOT NULL,
    status VARCHAR(16) NOT NULL,
    start_time VARCHAR(27),
    end_time VARCHAR(27),
    logs TEXT,
    tags JSON NOT NULL,
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    attempt INTEGER NOT NULL,
    queue VARCHAR(200) NOT NULL,
    pool VARCHAR(200) NOT NULL,
    cpu FLOAT NOT NULL,
    memory FLOAT NOT NULL,
    exit_code INTEGER,
    signal INTEGER,
    reason TEXT,
    stop_reason VARCHAR(32),
    stopped_by VARCHAR(200),
    pid INTEGER,
    pid_ticks INTEGER,
    boot_id VARCHAR(36),
    run_seconds FLOAT,
    cpu_seconds FLOAT,
    max_rss FLOAT,
    deadline VARCHAR(27),
    log_bytes INTEGER,
    CONSTRAINT pk_instances PRIMARY KEY (runid),
    CONSTRAINT ck_instances_status CHECK (status IN ('starting', 'running', 'paused', 'stopping', 'succeeded', 'failed', 'timed_out', 'cancelled', 'lost')),
    CONSTRAINT fk_instances_task_id_tasks FOREIGN KEY(task_id) REFERENCES tasks (uuid)
);
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
INSERT INTO alembic_version VALUES ('0005');
