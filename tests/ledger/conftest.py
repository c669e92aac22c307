import gc, atexit, sys
def f():
    gc.collect()
    import duckdb
    print('REFS', sys.getrefcount(duckdb), [type(r) for r in gc.get_referrers(duckdb)][:10], file=sys.stderr)
    l=[o for o in gc.get_objects() if type(o).__name__=='DuckDBPyConnection']
    print(len(l), [ (type(r), getattr(r,'f_code',None)) for o in l for r in gc.get_referrers(o)][:10], file=sys.stderr)
atexit.register(f)
