"""``matboard fit``."""

from __future__ import annotations

from pathlib import Path

from matboard.cli.console import (
    Config,
    Csv,
    Device,
    DeviceMap,
    InPrecision,
    Json,
    Quantise,
    RunFolder,
    Store,
    TrustRemoteCode,
    Words,
    drive,
    model_options,
    one_form,
    out,
    print_rows,
    say,
    settings_and_folder,
    show_where,
)


def fit(
    config: Config,
    words: Words = None,
    run: RunFolder = None,
    store: Store = None,
    device: Device = None,
    precision: InPrecision = None,
    quantise: Quantise = None,
    device_map: DeviceMap = None,
    trust_remote_code: TrustRemoteCode = False,
    csv: Csv = False,
    json: Json = False,
) -> None:
    """Learn prompts on one or several models, judge them on these and others, write a run folder.

    Give the same command again to go on with a run that was interrupted.

    Example: [bold]matboard fit experiments/tvp_tiny.yaml steps=100 prompt.width=20[/bold]
    """
    from matboard.studies.config import StudyConfig

    one_form(csv, json)
    options = model_options(
        quantise=quantise,
        device_map=device_map,
        trust_remote_code=trust_remote_code,
    )
    asked = [*(words or []), *([f"precision={precision}"] if precision else [])]
    settings, folder = settings_and_folder(config, asked, run, StudyConfig, device)
    from matboard.studies.prompts import study

    drive(study(settings, folder, store=store, device=device, options=options))
    show_results(folder, csv=csv, json=json)


def show_results(folder: Path, *, csv: bool = False, json: bool = False) -> None:
    """How each fit ended and the transfer table of a finished run, or its rows alone; nothing where
    another process is to finish it.
    """
    from matboard.report import transfer_table_text
    from matboard.report.run_folder import read_folder
    from matboard.results import TransferResults, read
    from matboard.runs import Run

    if not Run(folder).finished:
        return
    if csv or json:
        print_rows(folder, json=json)
        return
    results = read(folder)
    if isinstance(results, TransferResults):
        for name, fit in read_folder(folder).outcomes.items():
            say(f"{name}: {fit.convergence}")
        out.print(transfer_table_text(results))
        if results.device:
            say(f"judged in {results.precision} on {results.device}")
        for note in results.notes:
            say(f"note: {note}")
        show_where(folder)
