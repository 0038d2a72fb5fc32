"""pytest-lsp as another editor: run the file, fix what it said, apply the proposal.

OPENDEVAGENT_BIN names the server, OPENDEVAGENT_TEST_FILE the file; its text in the client is saved there.
"""

import ast
import asyncio
import os
import pathlib

import pytest_lsp
from lsprotocol import types
from pygls.workspace import TextDocument
from pytest_lsp import ClientServerConfig, LanguageClient, client_capabilities

FILE = pathlib.Path(os.environ["OPENDEVAGENT_TEST_FILE"])
CONFIG = ClientServerConfig(server_command=[os.environ["OPENDEVAGENT_BIN"]], server_env=dict(os.environ))


@pytest_lsp.fixture(config=CONFIG)
async def client(lsp_client: LanguageClient):
    document = TextDocument(FILE.as_uri(), FILE.read_text(), version=1)
    lsp_client.document = document
    lsp_client.changed = asyncio.Event()

    for passed_over in (types.CLIENT_REGISTER_CAPABILITY, types.WORKSPACE_CODE_LENS_REFRESH):
        lsp_client.feature(passed_over)(lambda _params: None)

    @lsp_client.feature(types.WINDOW_SHOW_MESSAGE_REQUEST)
    def ask(params: types.ShowMessageRequestParams):
        return next(action for action in params.actions if action.title == "Apply")

    @lsp_client.feature(types.WORKSPACE_APPLY_EDIT)
    def apply(params: types.ApplyWorkspaceEditParams):
        (change,) = params.edit.document_changes
        assert (change.text_document.uri, change.text_document.version) == (document.uri, document.version)
        for edit in sorted(change.edits, key=lambda edit: edit.range.start, reverse=True):
            document.apply_change(types.TextDocumentContentChangePartial(edit.range, edit.new_text))
        document.version += 1
        lsp_client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(document.version, document.uri),
                [types.TextDocumentContentChangeWholeDocument(document.source)],
            )
        )
        lsp_client.changed.set()
        return types.ApplyWorkspaceEditResult(applied=True)

    folder = FILE.parent.as_uri()
    await lsp_client.initialize_session(
        types.InitializeParams(
            capabilities=client_capabilities("visual_studio_code"),
            root_uri=folder,
            workspace_folders=[types.WorkspaceFolder(folder, "workspace")],
        )
    )
    lsp_client.text_document_did_open(
        types.DidOpenTextDocumentParams(
            types.TextDocumentItem(document.uri, "python", document.version, document.source)
        )
    )
    yield
    await lsp_client.shutdown_session()


async def choose(client, title, diagnostics=()):
    """Takes the code action that begins so, on the diagnostics' place."""
    top = types.Position(0, 0)
    place = diagnostics[0].range if diagnostics else types.Range(top, top)
    params = types.CodeActionParams(
        types.TextDocumentIdentifier(client.document.uri), place, types.CodeActionContext(list(diagnostics))
    )
    actions = await client.text_document_code_action_async(params)
    action = next(action for action in actions if action.title.startswith(title))
    # lsprotocol takes an action with a command for the command itself, whose name is then the command as text.
    command = ast.literal_eval(action.command)
    params = types.ExecuteCommandParams(command["command"], command["arguments"])
    await client.workspace_execute_command_async(params)


async def test_a_fix_reaches_the_text(client: LanguageClient):
    await choose(client, "Run in sandbox")
    while not (found := client.diagnostics.get(client.document.uri)):
        await client.wait_for_notification(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    await choose(client, "Fix: NameError", found)
    await asyncio.wait_for(client.changed.wait(), 120)
    FILE.write_text(client.document.source)
