"""The schedule, and what people see of it: Prefect flows around the steps of `pipelines`. They hold no logic of their own."""
