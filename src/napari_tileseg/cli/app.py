"""The command `tileseg` and its verbs."""

from __future__ import annotations

import json
from typing import Any

import click

from napari_tileseg._version import __version__
from napari_tileseg.cli.answers import fail, fail_at_once, json_option
from napari_tileseg.cli.run.heap import share_heap
from napari_tileseg.cli.run.room import check_room, is_short_of_memory
from napari_tileseg.cli.verbs.convert import convert
from napari_tileseg.cli.verbs.demo import demo
from napari_tileseg.cli.verbs.diagnose import diagnose
from napari_tileseg.cli.verbs.export import export
from napari_tileseg.cli.verbs.finetune import finetune
from napari_tileseg.cli.verbs.inspect import inspect
from napari_tileseg.cli.verbs.networks import networks
from napari_tileseg.cli.verbs.predict import predict
from napari_tileseg.cli.verbs.receptive_field import receptive_field
from napari_tileseg.cli.verbs.sample import sample
from napari_tileseg.cli.verbs.sweep import sweep
from napari_tileseg.cli.verbs.train import train
from napari_tileseg.errors import DeviceError, StoreError, TilesegError, reason_of


class Tileseg(click.Group):
    """Turns errors into a message and an exit code; with ``--json`` into ``{"error": message}``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note whether JSON is wanted before anything can go wrong."""
        ctx.obj = "--json" in args
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if not ctx.obj:
                raise
            fail(error.format_message(), error.exit_code, as_json=True)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb."""
        as_json: bool = ctx.obj
        try:
            return super().invoke(ctx)
        except click.exceptions.Exit:
            raise
        except click.UsageError as error:
            if not as_json:
                raise
            fail(error.format_message(), error.exit_code, as_json=True)
        except TilesegError as error:
            end = fail_at_once if isinstance(error, DeviceError) else fail
            end(str(error), error.exit_code, as_json=as_json)
        except PermissionError as error:
            path = "A file" if error.filename is None else error.filename
            message = f"{path} should be open to you; it is not: {error.strerror or error}."
            cure = "Change its permissions, or choose another location."
            fail(f"{message} {cure}", StoreError.exit_code, as_json=as_json)
        except (KeyboardInterrupt, click.Abort):
            fail("Stopped at once. Run the same command again to resume.", 130, as_json=as_json)
        except Exception as error:
            _fail_for_memory(error, as_json=as_json)
            # A bug in this package: the JSON reports it, and the traceback follows on stderr.
            if as_json:
                click.echo(json.dumps({"error": f"{type(error).__name__}: {error}"}))
            raise


#: Verbs that load no PyTorch, or in another process.
_WITHOUT_NETWORKS = {"networks", "sample", "demo"}


def _fail_for_memory(error: Exception, *, as_json: bool) -> None:
    """Fail with a sentence on memory, if an error comes from a lack of it."""
    if is_short_of_memory(error):
        message = (
            f"There is too little memory for this ({reason_of(error)}). What is written so far is kept: free "
            "some memory, or choose a smaller --core where there is one, and run the same command again."
        )
        fail_at_once(message, DeviceError.exit_code, as_json=as_json)


@click.group(cls=Tileseg, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tileseg")
@json_option
def main(*, as_json: bool) -> None:
    """Segment images bigger than memory with a network, without tiling artifacts."""
    del as_json  # Of the whole command line, wherever it stands.
    share_heap()
    if click.get_current_context().invoked_subcommand not in _WITHOUT_NETWORKS:
        check_room()


for verb in (
    *(predict, diagnose, sweep, receptive_field),
    *(finetune, train, convert, export),
    *(inspect, networks, sample, demo),
):
    main.add_command(verb)
