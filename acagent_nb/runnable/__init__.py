"""What makes notebooks runnable by a program: run, checked against what they hold, made into pages.

| room | what is in it |
| --- | --- |
| `run.py` | `acagent-nb run` |
| `check.py` | `acagent-nb check` |
| `demo.py` | `acagent-nb demo` |
| `arguments.py` | the arguments that `run` and `check` share |
| `paths.py` | paths, patterns and folders -> notebooks, and the places for what is made of them |
| `progress.py` | what a user sees of a run: a line, and the table in the end |
| `job.py` | one notebook is run: a `Job` in, what `Ran` out |
| `parallel.py` | jobs side by side, a process for each |
| `engine.py` | papermill's engine `acagent`, which a job uses |
| `kernel.py` | a kernel of this Python |
| `answer_files.py` | `replay:FILE` and the like: the file of recorded answers of one notebook |
| `answer_uses.py` | which of these answers notebooks take, for `acagent-nb answers prune` |
| `preparing.py` | before a run: the server is looked for, and models that are missing are pulled |
| `asked_models.py` | which models these are |
| `executed.py` | after a run: outputs tidied, provenance lifted, what belongs to the machine left out |
| `plugin.py` | pytest's plugin: flags and configuration; loads the three below when they are needed |
| `pytest_answers.py` | each notebook's kernel gets its file of answers |
| `pytest_compare.py` | nbval's cells, compared by what a front end would show |
| `pytest_update.py` | notebooks run and kept anew, `acagent-nb check --update` |
| `outputs.py` | a kernel's messages -> the outputs as a front end holds them |
| `sanitised.py` | outputs without what says nothing about their meaning |
| `failures.py` | what is wrong with a cell or a run, in words for the author |
| `html_page.py` | an executed notebook -> one page without scripts |
| `html_index.py` | titles of pages, and the list of all |
| `html_clean.py` | HTML of others -> HTML that runs and fetches nothing |
| `html_maths.py` | formulas -> MathML |
| `html_widgets.py` | a widget -> a table that needs no kernel |
"""
