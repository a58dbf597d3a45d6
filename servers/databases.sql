-- run once, when the volume is new; the database of MLflow is made by POSTGRES_DB
CREATE DATABASE prefect;
