"""Why a mutant that no test here notices is no hole. Read by the campaign ``mutation``.

Reasons, each with the mutants it is about: file, function and change. A mutant that a test notices
needs no reason; one that stands here and is noticed all the same does no harm.
"""

from __future__ import annotations

__all__ = ["EXPLAINED"]

_REASONS: dict[str, tuple[str, ...]] = {
    "the same number: both ways to count it agree there to the last digits": (
        "statistics.py: module: 1000 -> 1001",
        "statistics.py: binomial_tail: trials > _EXACT_TRIALS -> (trials >= _EXACT_TRIALS)",
        "statistics.py: binomial_tail: 1 -> 2",
        "statistics.py: tango_statistic: "
        "(root - linear) / (2 * quadratic) if linear <= 0 else -2 * constant /… "
        "-> ((root - linear) / (2 * quadratic))",
        "statistics.py: tango_statistic: linear <= 0 -> (linear < 0)",
        "statistics.py: _long_tail: 2 * successes <= trials -> (2 * successes < trials)",
        "statistics.py: _long_tail: 2 -> 3",
    ),
    "a search by halves ends at the same float": (
        "statistics.py: tango_bound: tango_statistic(b, c, n, middle) > z -> "
        "(tango_statistic(b, c, n, middle) >= z)",
        "statistics.py: student_quantile: _student_tail(high, freedom) > alpha -> "
        "(_student_tail(high, freedom) >= alpha)",
        "statistics.py: student_quantile: _student_tail(middle, freedom) > alpha -> "
        "(_student_tail(middle, freedom) >= alpha)",
        "statistics.py: student_quantile: 2 -> 3 #2",
        "statistics.py: student_quantile: 1.0 -> 2.0",
        "statistics.py: student_quantile: high < 1e+300 -> (high <= 1e+300)",
        "statistics.py: student_quantile: 1e+300 -> 1e+300",
        "statistics.py: student_quantile: _student_tail(high, freedom) > alpha and high < 1e+300 -> "
        "(_student_tail(high, freedom) > alpha or high < 1e+300)",
    ),
    "to divide by 1 or -1 is to multiply by it": (
        "statistics.py: bootstrap_bounds: kinds * [sign, 1] -> (kinds / [sign, 1])",
        "statistics.py: bootstrap_bounds: sign * _bootstrap_means(kinds, counts, draws, seed) -> "
        "(sign / _bootstrap_means(kinds, counts, draws, seed))",
    ),
    "all sizes equal the first one exactly when they equal the second one": (
        "statistics.py: _bootstrap_means: 0 -> 1 #3",
    ),
    "how much is computed at a time; one row fits always": (
        "statistics.py: module: 2000000 -> 2000001",
        "statistics.py: _bootstrap_means: 1 -> 2 #2",
        "statistics.py: sign_flip_p: 1 -> 2 #5",
    ),
    "what is observed is lowered by more than rounding, so that equality cannot be": (
        "statistics.py: sign_flip_p: (2 * ups - counts) @ kinds >= observed -> "
        "((2 * ups - counts) @ kinds > observed)",
        "statistics.py: sign_flip_p: (1 - 2 * patterns) @ moved >= observed -> "
        "((1 - 2 * patterns) @ moved > observed)",
        "statistics.py: sign_flip_p: totals >= observed -> (totals > observed)",
    ),
    "whether a total is below what is observed depends on the sign of what is flipped alone": (
        "statistics.py: sign_flip_p: 2 -> 3 #2",
    ),
    "the order of equal p-values does not matter": (
        "statistics.py: holm: np.argsort(p_values, kind='stable') -> (np.argsort(p_values))",
    ),
    "seen only with a GPU": (
        "slices.py: _members: members.detach().cpu() if hasattr(members, 'detach') else members -> (members)",
        "train.py: Run.state: 'cuda_rng' -> ''",
        "train.py: Run._first_cuda_rng: 'cuda' -> ''",
        "train.py: Run._first_cuda_rng: 'model' -> ''",
        "train.py: Run._first_cuda_rng: "
        "return torch.Generator(self.engine.device).manual_seed(seed).get_stat… -> return None",
        "train.py: Run._own_stream: torch.cuda.get_rng_state(device) if self._cuda_rng is not None else N… "
        "-> (None)",
        "train.py: Run._own_stream: torch.cuda.set_rng_state(self._cuda_rng, device) -> pass",
        "train.py: Run._own_stream: torch.cuda.set_rng_state(outside_cuda, device) -> pass",
    ),
    "seen only with several processes (tests/reliability/test_ddp.py)": (
        "train.py: Run._step: number == len(micros) - 1 -> (number != len(micros) - 1)",
        "train.py: Run._step: len(micros) - 1 -> (len(micros) + 1)",
        "train.py: Run._step: 1 -> 2 #2",
    ),
    "the loop is left inside, at the end of the epoch": (
        "train.py: Run.advance: self.at.index < self.steps_per_epoch -> "
        "(self.at.index <= self.steps_per_epoch)",
    ),
    "nobody asks for a part under such a name": ("train.py: Run.restore: slash -> True",),
    "without a rung there is nothing to multiply": ("race.py: rung_steps: 0 -> 1 #2",),
    "for the type checker: there is an average when this is called": (
        "train.py: Run._update_average: average is None or decay is None -> False",
        "train.py: Run._update_average: average is None or decay is None -> "
        "(average is None and decay is None)",
        "train.py: Run._step: self.average is not None -> True",
    ),
    "both are of one model or of one list, and equally long": (
        "train.py: Run._update_average: zip(average.parameters(), self.model.parameters(), strict=True) -> "
        "(zip(average.parameters(), self.model.parameters()))",
        "train.py: Run._update_average: zip(average.buffers(), self.model.buffers(), strict=True) -> "
        "(zip(average.buffers(), self.model.buffers()))",
        "gate.py: _harm: zip(slices, corrected, strict=True) -> (zip(slices, corrected))",
    ),
    "the sum with the first pair has the wider type": (
        "train.py: Run.__init__: torch.zeros(2, dtype=torch.float64) -> (torch.zeros(2))",
    ),
    "the same error is raised again at the end": ("entrant.py: Entrant.advance: raise -> pass",),
    "one score has no deviation, and nothing is above what is no number": (
        "race.py: leads: len(difference) < 2 -> False",
    ),
    "every weight drawn is replaced by the one that is loaded": (
        "version.py: Version.load: 0 -> 1",
        "version.py: Version.load: 'load' -> ''",
    ),
    "a digest of the same facts, told apart as before": (
        "durable.py: _machine: ' ' -> ''",
        "durable.py: _machine: Path('/proc/sys/kernel/random/boot_id').read_text(encoding='ascii') -> "
        "(Path('/proc/sys/kernel/random/boot_id').read_text())",
    ),
    "the same table in SQLite; in PostgreSQL a counter that nothing uses": tuple(
        f"database.py: module: sa.Column('number', _Id, primary_key=True, autoincrement=False) -> "
        f"(sa.Column('number', _Id, primary_key=True)){number}"
        for number in ("", " #2", " #3", " #4")
    ),
    "what is left out is the default": (
        "train.py: Run._step: self.optimizer.zero_grad(set_to_none=True) -> (self.optimizer.zero_grad())",
        "database.py: Database.place: self.url.render_as_string(hide_password=True) -> "
        "(self.url.render_as_string())",
        "database.py: _set_up_sqlite: cursor.execute('PRAGMA synchronous=FULL') -> pass",
        "database.py: _set_up_sqlite: 'PRAGMA synchronous=FULL' -> ''",
    ),
    "the time to wait for a lock is set twice; either will do": (
        "database.py: Database._engine: sa.create_engine(self.url, connect_args={'timeout': 60}) -> "
        "(sa.create_engine(self.url))",
        "database.py: Database._engine: 60 -> 61",
        "database.py: _set_up_sqlite: cursor.execute('PRAGMA busy_timeout=60000') -> pass",
        "database.py: _set_up_sqlite: 'PRAGMA busy_timeout=60000' -> ''",
    ),
    "the cursor is closed when it is forgotten": ("database.py: _set_up_sqlite: cursor.close() -> pass",),
    "the first mount replaces it": (
        "database.py: _refuse_network: '' -> 'X'",
        "database.py: _refuse_network: '' -> 'X' #2",
    ),
    "uploaded twice, before the lock and under it; the second time completes the first": (
        "arrivals.py: add: places.upload(opened.path) -> pass",
        "arrivals.py: add: places.upload(opened.path) -> pass #2",
    ),
    "needs a PostgreSQL server": (
        "database.py: Database.write: not self.sqlite -> False",
        "database.py: Database.write: connection.execute(sa.text('SELECT pg_advisory_xact_lock(4815162342)'… "
        "-> pass",
        "database.py: Database.write: 'SELECT pg_advisory_xact_lock(4815162342)' -> ''",
    ),
}

EXPLAINED = {
    f"headstart/lifecycle/{mutant}": reason for reason, mutants in _REASONS.items() for mutant in mutants
}
