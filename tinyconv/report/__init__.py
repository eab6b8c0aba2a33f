"""``python -m tinyconv.report RUN_DIR``: a training run as one self-contained HTML page.

``run.py`` reads what the run left in its folder, ``charts.py`` draws it, ``mistakes.py`` tries the network on the
validation images, and ``page.py`` puts it together.
"""
