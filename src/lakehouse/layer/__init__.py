"""How one layer of one partition is made: plan → stage → gate → publish, the same for bronze, silver and gold.

:mod:`lakehouse.layer.flow` is the way in. The ledger (schema ``ops``) is the truth about what is done
and what each run may read.
"""
