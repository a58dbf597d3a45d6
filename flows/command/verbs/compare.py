"""Compare schedulers on the same groups.

metis compare groups.path=groups.npz groups.rows=0:10 schedulers=[optimum,greedy,greedy+local_search]
metis compare group.size=400 cluster.nodes=81 simulator=forest output=json

What the chain placed or judged under the same settings is reused, and the other way round.
"""

from flows.command.comparison import (
    comparison_document,
    comparison_table,
    comparison_title,
    error_lines,
    noted,
)
from flows.command.request import Request, Verb
from flows.command.result import Line, Result
from flows.configuration.objects import knows_truth, make_testbed
from flows.placing.problem import check_problem, check_scheduler
from flows.stages.chain import open_memo
from flows.stages.evaluate import read_notes, read_results
from flows.stages.shared import OPTIMUM, all_schedulers
from metis.problem.objectives import tabulated


def run(request: Request) -> Result:
    """See the module's text."""
    settings = request.settings
    if settings.problem is not None:
        from flows.command.problem_folder import stated_in_folder

        settings = stated_in_folder(request)
    for name in all_schedulers(settings):
        # a mistyped name or testbed is refused before a minute of work
        check_scheduler(settings, name)
    if knows_truth(settings) and not settings.wide:
        make_testbed(settings).truth(tabulated(settings.objective))
    with request.progress() as progress:
        memo = open_memo(settings, progress, request.command)
        check_problem(memo.settings)
        evaluated = memo.obtain("evaluate").folder
    results, notes = read_results(evaluated), read_notes(evaluated)
    if OPTIMUM not in settings.schedulers:
        results = results[results["scheduler"] != OPTIMUM]
    exact = settings.simulator.kind == "testbed"
    table = comparison_table(results, comparison_title(settings, results), exact=exact)
    said = [Line(note) for note in notes]
    return Result(noted(comparison_document(results), notes), [table, *error_lines(results), *said])


VERB = Verb(run, settings=("schedulers",), stages=("evaluate",), site=True)
