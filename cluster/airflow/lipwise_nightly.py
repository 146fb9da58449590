"""The night as a DAG of Airflow 3: one run at a time, none for nights that were missed.

It goes into Airflow's dags folder. Its worker has the GPUs, lipwise-ray on its PATH, and a checkout in
/opt/lipwise-ray.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG(
    dag_id="lipwise_nightly",
    # FILL IN: the schedule is of start_date's time zone, --from and --until of the clock of the worker: let them agree.
    schedule="15 22 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    # Longer than a night that is stopped takes to end (engine.stop_s): the next try would find its state in use.
    default_args={"retries": 2, "retry_delay": timedelta(minutes=10)},
):
    BashOperator(
        task_id="backlog",
        # Rows that failed, or are left when the window closes, make no night fail: the report says so. What is left are
        # 2 (nothing could start), 3 (stopped early: by a cluster that went away, say), 4 (a crash), 5 and 130: such a
        # try fails, and there is another one.
        # FILL IN the places; the file is for node_exporter of the worker's machine, in a folder that is there.
        bash_command=(
            "lipwise-ray backlog run s3://my-bucket/backlog --job /opt/lipwise-ray/jobs/nightly.toml "
            "--from 22:00 --until 06:00 --out s3://my-bucket/dubbed --state s3://my-bucket/states/night --exit-zero "
            "--set engine.metrics_file=/var/lib/lipwise-ray/lipwise.prom"
        ),
        # Whom to tell of the night: a variable of Airflow's, and nobody where there is none. With "secret" in its name
        # Airflow shows its value nowhere.
        env={
            "LIPWISE_WEBHOOK": "{{ var.value.get('lipwise_webhook_secret', '') }}",
            "LIPWISE_MODELS": "/var/lib/lipwise-ray/models",  # FILL IN: where `lipwise-ray models pull` put them
            "AWS_REGION": "us-west-2",  # FILL IN: the bucket's
        },
        append_env=True,
        # Airflow's SIGTERM lets running chunks end, and the night's report is written, after the task is called failed.
        execution_timeout=timedelta(hours=9),
    )
