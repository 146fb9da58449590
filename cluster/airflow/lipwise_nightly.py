"""The night as a DAG of Airflow 3: one run at a time, none for nights that were missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG(
    dag_id="lipwise_nightly",
    schedule="15 22 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
):
    BashOperator(
        task_id="backlog",
        # Rows that failed or are for another night make no night fail: the report says so. What is left are 2 (nothing
        # could start), 4 (a crash) and 130, and those are tried again.
        bash_command=(
            "lipwise-ray backlog run s3://my-bucket/backlog --until 06:00 --out s3://my-bucket/dubbed "
            "--state s3://my-bucket/states/night --exit-zero"
        ),
        execution_timeout=timedelta(hours=9),
    )
