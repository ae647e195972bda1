"""Finished runs beside each other: what each measured, which can be ranked, and every form of the table."""
