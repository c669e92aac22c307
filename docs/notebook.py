"""A notebook on the published ledger: `marimo edit docs/notebook.py` opens it, `python -m docs.notebook` runs it.

It reads the data directory that the settings name; `PIPELINES__DATA_DIR=data/sandbox` shows the sandbox's.
"""

import marimo

app = marimo.App(app_title="Ledger")


@app.cell
def _():
    import marimo as mo

    from pipelines.questions.frames import frame

    return frame, mo


@app.cell
def _(frame, mo):
    accounts = frame("select institution, right(iban, 4) as ends_in, currency, balance, balance_at from accounts order by all")
    mo.vstack([mo.md("# Balances, as the banks report them"), accounts])
    return (accounts,)


@app.cell
def _(frame, mo):
    movements = frame("select strftime(booked_on, '%Y-%m') as month, currency, amount from transactions where status = 'booked'")
    # Decimal adds up exactly: this is the sum that the ledger gives, to the cent
    months = movements.groupby(["currency", "month"])["amount"].sum().unstack("currency")
    mo.vstack([mo.md("# Net movement a month and currency"), months])
    return months, movements


@app.cell
def _(frame, mo):
    expected = frame("select day, currency, closing_balance from cash_forecast order by day")
    mo.vstack([mo.md("# Expected balances"), expected])
    return (expected,)


if __name__ == "__main__":
    app.run()
