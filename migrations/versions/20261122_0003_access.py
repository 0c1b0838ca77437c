"""who may do what: mail, second factors, roles, tokens, invitations, and the chain of the audit

Revision ID: 0003
Revises: 0002
"""

import re
import unicodedata

import sqlalchemy as sa
from alembic import op


revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None

LONG_AGO = '1970-01-01 00:00:00+00:00'
FOLLOWS = (
    "new.first_number = coalesce((select max(last_number) from audit_archives) + 1, {first}) "
    "and new.last_number >= new.first_number and new.entries > 0 and ("
    "(new.last_number = 0 and new.entries = (select count(*) from audit_logs where number is null)) or "
    "(new.entries = new.last_number - new.first_number + 1 and new.entries = (select count(*) from audit_logs "
    "where number between new.first_number and new.last_number) and exists (select 1 from audit_logs "
    "where number = new.last_number and hash = new.hash and created_at < {yesterday})))"
)
GUARDS = {
    'sqlite': (
        "create trigger audit_logs_no_update before update on audit_logs "
        "begin select raise(abort, 'the audit can only be added to'); end",
        "create trigger audit_logs_no_delete before delete on audit_logs when not coalesce("
        "(select first_number from audit_archives where last_number >= coalesce(old.number, 0) "
        "order by last_number limit 1) <= coalesce(old.number, 0), 0) "
        "begin select raise(abort, 'the audit can only be added to'); end",
        "create trigger audit_archives_follow before insert on audit_archives when not coalesce(("
        + FOLLOWS.format(first="min(new.first_number, 1)", yesterday="datetime('now', '-1 day')")
        + "), 0) begin select raise(abort, 'the archive does not follow the one before'); end",
        *(
            f"create trigger audit_archives_no_{verb} before {verb} on audit_archives "
            "begin select raise(abort, 'the audit can only be added to'); end"
            for verb in ('update', 'delete')
        ),
    ),
    'postgresql': (
        "create or replace function audit_logs_keep() returns trigger language plpgsql as "
        "$$ begin if tg_op = 'DELETE' and tg_level = 'ROW' then "
        "if (select first_number from audit_archives where last_number >= coalesce(old.number, 0) "
        "order by last_number limit 1) <= coalesce(old.number, 0) then return old; end if; end if; "
        "raise exception 'the audit can only be added to'; end $$",
        "create trigger audit_logs_append_only before update or truncate on audit_logs "
        "for each statement execute function audit_logs_keep()",
        "create trigger audit_logs_no_delete before delete on audit_logs "
        "for each row execute function audit_logs_keep()",
        "create or replace function audit_archives_follow() returns trigger language plpgsql as $$ begin if coalesce("
        + FOLLOWS.format(first="least(new.first_number, 1)", yesterday="now() - interval '1 day'")
        + ", false) then return new; end if; raise exception 'the archive does not follow the one before'; end $$",
        "create trigger audit_archives_follow before insert on audit_archives "
        "for each row execute function audit_archives_follow()",
        "create or replace function audit_archives_keep() returns trigger language plpgsql as "
        "$$ begin raise exception 'the audit can only be added to'; end $$",
        "create trigger audit_archives_append_only before update or delete or truncate on audit_archives "
        "for each statement execute function audit_archives_keep()",
    ),
}
UNGUARD = {
    'sqlite': ('drop trigger if exists audit_logs_no_update', 'drop trigger if exists audit_logs_no_delete',
               'drop trigger if exists audit_archives_follow'),
    'postgresql': ('drop trigger if exists audit_logs_append_only on audit_logs',
                   'drop trigger if exists audit_logs_no_delete on audit_logs',
                   'drop function if exists audit_logs_keep()',
                   'drop function if exists audit_archives_follow() cascade',
                   'drop function if exists audit_archives_keep() cascade'),
}


def upgrade() -> None:
    with op.batch_alter_table('deployments', schema=None) as batch_op:
        batch_op.create_index('ix_deployments_project_id_status_number', ['project_id', 'status', 'number'], unique=False)

    op.create_table('access_epoch',
    sa.Column('id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_access_epoch'))
    )
    op.create_table('audit_head',
    sa.Column('id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('number', sa.BigInteger(), nullable=False),
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit_head'))
    )
    op.create_table('audit_archives',
    sa.Column('last_number', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('first_number', sa.BigInteger(), nullable=False),
    sa.Column('entries', sa.Integer(), nullable=False),
    sa.Column('previous_hash', sa.String(length=64), nullable=False),
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.Column('file', sa.String(length=120), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('last_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('signature', sa.String(length=64), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('last_number', name=op.f('pk_audit_archives'))
    )
    op.create_table('audit_checks',
    sa.Column('id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('number', sa.BigInteger(), nullable=False),
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.Column('checked_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('whole_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('entries', sa.BigInteger(), nullable=False),
    sa.Column('older', sa.BigInteger(), nullable=False),
    sa.Column('seconds', sa.Float(), nullable=False),
    sa.Column('absent', sa.Integer(), nullable=False),
    sa.Column('fault', sa.Text(), nullable=False),
    sa.Column('fault_kind', sa.String(length=20), nullable=False),
    sa.Column('fault_number', sa.BigInteger(), nullable=True),
    sa.Column('signature', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit_checks'))
    )
    op.create_table('letters',
    sa.Column('to_address', sa.String(length=255), nullable=False),
    sa.Column('template', sa.String(length=60), nullable=False),
    sa.Column('subject', sa.String(length=200), nullable=False),
    sa.Column('context', sa.Text(), nullable=False),
    sa.Column('state', sa.String(length=10), nullable=False),
    sa.Column('error', sa.Text(), nullable=False),
    sa.Column('reader', sa.String(length=80), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('sent_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_letters'))
    )
    with op.batch_alter_table('letters', schema=None) as batch_op:
        batch_op.create_index('ix_letters_state_id', ['state', 'id'], unique=False)

    op.create_table('roles',
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('description', sa.String(length=500), nullable=False),
    sa.Column('permissions', sa.JSON(), nullable=False),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_roles')),
    sa.UniqueConstraint('name', name=op.f('uq_roles_name'))
    )
    op.create_table('email_tokens',
    sa.Column('user_id', sa.String(length=36), nullable=False),
    sa.Column('purpose', sa.String(length=20), nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('email', sa.String(length=255), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_email_tokens_user_id_users'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_email_tokens')),
    sa.UniqueConstraint('digest', name=op.f('uq_email_tokens_digest'))
    )
    with op.batch_alter_table('email_tokens', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_email_tokens_user_id'), ['user_id'], unique=False)

    op.create_table('github_connections',
    sa.Column('user_id', sa.String(length=36), nullable=False),
    sa.Column('github_username', sa.String(length=255), nullable=False),
    sa.Column('github_access_token', sa.Text(), nullable=False),
    sa.Column('github_refresh_token', sa.Text(), nullable=True),
    sa.Column('token_expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('connected_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('scopes', sa.String(length=255), nullable=False),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_github_connections_user_id_users'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_github_connections')),
    sa.UniqueConstraint('user_id', name=op.f('uq_github_connections_user_id'))
    )
    op.create_table('recovery_codes',
    sa.Column('user_id', sa.String(length=36), nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_recovery_codes_user_id_users'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_recovery_codes')),
    sa.UniqueConstraint('digest', name=op.f('uq_recovery_codes_digest'))
    )
    with op.batch_alter_table('recovery_codes', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_recovery_codes_user_id'), ['user_id'], unique=False)

    op.create_table('second_factors',
    sa.Column('user_id', sa.String(length=36), nullable=False),
    sa.Column('secret', sa.Text(), nullable=False),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_step', sa.Integer(), nullable=False),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_second_factors_user_id_users'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_second_factors')),
    sa.UniqueConstraint('user_id', name=op.f('uq_second_factors_user_id'))
    )
    op.create_table('api_tokens',
    sa.Column('user_id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('token_prefix', sa.String(length=16), nullable=False),
    sa.Column('last_four', sa.String(length=4), nullable=False),
    sa.Column('scopes', sa.JSON(), nullable=False),
    sa.Column('team_id', sa.String(length=36), nullable=True),
    sa.Column('project_ids', sa.JSON(), nullable=False),
    sa.Column('allowed_ips', sa.JSON(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked_why', sa.String(length=200), nullable=False),
    sa.Column('rotated_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_ip', sa.String(length=64), nullable=False),
    sa.Column('last_agent', sa.String(length=300), nullable=False),
    sa.Column('last_route', sa.String(length=200), nullable=False),
    sa.Column('reminded_days', sa.Integer(), nullable=True),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['team_id'], ['teams.id'], name=op.f('fk_api_tokens_team_id_teams'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_api_tokens_user_id_users'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_api_tokens'))
    )
    with op.batch_alter_table('api_tokens', schema=None) as batch_op:
        batch_op.create_index('ix_api_tokens_expires_at', ['expires_at'], unique=False)
        batch_op.create_index('ix_api_tokens_user_id_id', ['user_id', 'id'], unique=False)

    op.create_table('api_token_values',
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('token_id', sa.String(length=36), nullable=False),
    sa.Column('until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('uses', sa.Integer(), nullable=False),
    sa.Column('last_used_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['token_id'], ['api_tokens.id'], name=op.f('fk_api_token_values_token_id_api_tokens'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('digest', name=op.f('pk_api_token_values'))
    )
    with op.batch_alter_table('api_token_values', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_api_token_values_token_id'), ['token_id'], unique=False)

    op.create_table('token_usage',
    sa.Column('token_id', sa.String(length=36), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('method', sa.String(length=8), nullable=False),
    sa.Column('route', sa.String(length=200), nullable=False),
    sa.Column('requests', sa.Integer(), nullable=False),
    sa.Column('errors', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['token_id'], ['api_tokens.id'], name=op.f('fk_token_usage_token_id_api_tokens'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('token_id', 'day', 'method', 'route', name=op.f('pk_token_usage'))
    )
    op.create_table('user_roles',
    sa.Column('user_id', sa.String(length=36), nullable=False),
    sa.Column('role_id', sa.String(length=36), nullable=False),
    sa.Column('scope', sa.String(length=10), nullable=False),
    sa.Column('place', sa.String(length=36), nullable=False),
    sa.Column('team_id', sa.String(length=36), nullable=True),
    sa.Column('project_id', sa.String(length=36), nullable=True),
    sa.Column('effect', sa.String(length=10), nullable=False),
    sa.Column('given_by_id', sa.String(length=36), nullable=True),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['given_by_id'], ['users.id'], name=op.f('fk_user_roles_given_by_id_users'), ondelete='SET NULL'),
    sa.ForeignKeyConstraint(['project_id'], ['projects.id'], name=op.f('fk_user_roles_project_id_projects'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['role_id'], ['roles.id'], name=op.f('fk_user_roles_role_id_roles'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['team_id'], ['teams.id'], name=op.f('fk_user_roles_team_id_teams'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_user_roles_user_id_users'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_user_roles')),
    sa.UniqueConstraint('user_id', 'role_id', 'place', name=op.f('uq_user_roles_user_id_role_id_place'))
    )
    with op.batch_alter_table('user_roles', schema=None) as batch_op:
        batch_op.create_index('ix_user_roles_place', ['place'], unique=False)
        batch_op.create_index(batch_op.f('ix_user_roles_role_id'), ['role_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_user_roles_user_id'), ['user_id'], unique=False)

    op.create_table('guest_roles',
    sa.Column('email', sa.String(length=255), nullable=False),
    sa.Column('role_id', sa.String(length=36), nullable=False),
    sa.Column('team_id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=36), nullable=False),
    sa.Column('given_by_id', sa.String(length=36), nullable=True),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['given_by_id'], ['users.id'], name=op.f('fk_guest_roles_given_by_id_users'), ondelete='SET NULL'),
    sa.ForeignKeyConstraint(['project_id'], ['projects.id'], name=op.f('fk_guest_roles_project_id_projects'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['role_id'], ['roles.id'], name=op.f('fk_guest_roles_role_id_roles'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['team_id'], ['teams.id'], name=op.f('fk_guest_roles_team_id_teams'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_guest_roles')),
    sa.UniqueConstraint('email', 'role_id', 'project_id', name=op.f('uq_guest_roles_email_role_id_project_id'))
    )
    with op.batch_alter_table('guest_roles', schema=None) as batch_op:
        batch_op.create_index('ix_guest_roles_project_id', ['project_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_guest_roles_role_id'), ['role_id'], unique=False)

    with op.batch_alter_table('audit_logs', schema=None) as batch_op:
        batch_op.add_column(sa.Column('actor_email', sa.String(length=255), server_default='', nullable=False))
        batch_op.add_column(sa.Column('token_id', sa.String(length=36), nullable=True))
        batch_op.add_column(sa.Column('result', sa.String(length=10), server_default='done', nullable=False))
        batch_op.add_column(sa.Column('status_code', sa.Integer(), server_default='200', nullable=False))
        batch_op.add_column(sa.Column('number', sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column('hash', sa.String(length=64), server_default='', nullable=False))
        batch_op.create_index('ix_audit_logs_action_id', ['action', 'id'], unique=False)
        batch_op.create_index('ix_audit_logs_actor_id_id', ['actor_id', 'id'], unique=False)
        batch_op.drop_index('ix_audit_logs_object_id')
        batch_op.create_index('ix_audit_logs_object_id_id', ['object_id', 'id'], unique=False)
        batch_op.create_index('ix_audit_logs_object_type_id', ['object_type', 'id'], unique=False)
        batch_op.create_index('ix_audit_logs_result_id', ['result', 'id'], unique=False)
        batch_op.create_unique_constraint(batch_op.f('uq_audit_logs_number'), ['number'])

    with op.batch_alter_table('sessions', schema=None) as batch_op:
        batch_op.add_column(sa.Column('proved_at', sa.DateTime(timezone=True), nullable=False, server_default=LONG_AGO))
        batch_op.drop_column('last_seen_at')

    with op.batch_alter_table('team_members', schema=None) as batch_op:
        batch_op.add_column(sa.Column('email', sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column('name', sa.String(length=255), nullable=False, server_default=''))
        batch_op.add_column(sa.Column('status', sa.String(length=10), nullable=False, server_default='active'))
        batch_op.add_column(sa.Column('invited_by_id', sa.String(length=36), nullable=True))
        batch_op.add_column(sa.Column('invited_at', sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column('joined_at', sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column('removed_at', sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column('digest', sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column('message', sa.Text(), nullable=False, server_default=''))
        batch_op.add_column(sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False, server_default=LONG_AGO))
        batch_op.alter_column('user_id',
               existing_type=sa.VARCHAR(length=36),
               nullable=True)
        batch_op.drop_index(batch_op.f('ix_team_members_user_id'))
        batch_op.create_index('ix_team_members_user_id_status', ['user_id', 'status'], unique=False)
        batch_op.create_unique_constraint(batch_op.f('uq_team_members_digest'), ['digest'])
        batch_op.create_foreign_key(batch_op.f('fk_team_members_invited_by_id_users'), 'users', ['invited_by_id'], ['id'], ondelete='SET NULL')
    op.execute('update team_members set joined_at = created_at, updated_at = created_at, '
               'email = (select email from users where users.id = team_members.user_id)')
    with op.batch_alter_table('team_members', schema=None) as batch_op:
        batch_op.alter_column('email', existing_type=sa.String(length=255), nullable=False)
        batch_op.create_unique_constraint(batch_op.f('uq_team_members_team_id_email'), ['team_id', 'email'])

    with op.batch_alter_table('teams', schema=None) as batch_op:
        batch_op.add_column(sa.Column('slug', sa.String(length=63), nullable=True))
        batch_op.add_column(sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True))
        batch_op.drop_constraint(batch_op.f('fk_teams_personal_of_users'), type_='foreignkey')
        batch_op.create_foreign_key(batch_op.f('fk_teams_personal_of_users'), 'users', ['personal_of'], ['id'], ondelete='SET NULL')
    _name_teams()
    with op.batch_alter_table('teams', schema=None) as batch_op:
        batch_op.alter_column('slug', existing_type=sa.String(length=63), nullable=False)
        batch_op.create_unique_constraint(batch_op.f('uq_teams_slug'), ['slug'])

    with op.batch_alter_table('user_preferences', schema=None) as batch_op:
        batch_op.add_column(sa.Column('email_ticket_assigned', sa.Boolean(), nullable=False, server_default=sa.true()))
        batch_op.add_column(sa.Column('email_sla_breach', sa.Boolean(), nullable=False, server_default=sa.true()))
        batch_op.add_column(sa.Column('in_app_comments', sa.Boolean(), nullable=False, server_default=sa.true()))

    with op.batch_alter_table('users', schema=None) as batch_op:
        batch_op.add_column(sa.Column('kind', sa.String(length=10), server_default='person', nullable=False))
        batch_op.add_column(sa.Column('description', sa.Text(), server_default='', nullable=False))
        batch_op.add_column(sa.Column('oidc_id', sa.String(length=255), nullable=True))
        batch_op.create_unique_constraint(batch_op.f('uq_users_oidc_id'), ['oidc_id'])
    _part_user_names()
    # After the table is rebuilt: on SQLite that drops an index on an expression, which cannot be read back.
    op.create_index('ix_users_username_lower', 'users', [sa.text('lower(username)')], unique=True)

    op.create_table('idempotency_keys',
    sa.Column('key', sa.String(length=64), nullable=False),
    sa.Column('request', sa.String(length=64), nullable=False),
    sa.Column('status', sa.Integer(), nullable=True),
    sa.Column('answer', sa.Text(), nullable=False),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_idempotency_keys')),
    sa.UniqueConstraint('key', name=op.f('uq_idempotency_keys_key'))
    )
    op.execute('insert into access_epoch (id, number) values (1, 1)')
    op.execute("insert into audit_head (id, number, hash) values (1, 0, '')")
    for statement in GUARDS[op.get_bind().dialect.name]:
        op.execute(statement)


def _name_teams() -> None:
    """A slug for every team there is, made from its name."""
    teams = sa.table('teams', sa.column('id'), sa.column('name'), sa.column('slug'))
    connection, taken = op.get_bind(), set()
    for team_id, name in connection.execute(sa.select(teams.c.id, teams.c.name).order_by(teams.c.id)).all():
        plain = unicodedata.normalize('NFKD', name).encode('ascii', 'ignore').decode().lower()
        first = re.sub(r'[^a-z0-9]+', '-', plain).strip('-')[:56].strip('-') or 'team'
        slug, number = first, 1
        while slug in taken:
            number += 1
            slug = f'{first}-{number}'
        taken.add(slug)
        connection.execute(sa.update(teams).where(teams.c.id == team_id).values(slug=slug))


def _part_user_names() -> None:
    """Names that differ in capitals only: the oldest account keeps its own, the others get a number."""
    users = sa.table('users', sa.column('id'), sa.column('username'))
    connection = op.get_bind()
    rows = connection.execute(sa.select(users.c.id, users.c.username).order_by(users.c.id)).all()
    names, kept = {name.lower() for _, name in rows}, set()
    for user_id, name in rows:
        free, number = name, 1
        while free.lower() in kept or (number > 1 and free.lower() in names):
            number += 1
            free = f'{name[:56]}-{number}'
        kept.add(free.lower())
        if free != name:
            connection.execute(sa.update(users).where(users.c.id == user_id).values(username=free))


def downgrade() -> None:
    with op.batch_alter_table('deployments', schema=None) as batch_op:
        batch_op.drop_index('ix_deployments_project_id_status_number')

    for statement in UNGUARD[op.get_bind().dialect.name]:
        op.execute(statement)
    op.drop_table('idempotency_keys')
    op.execute("delete from team_members where user_id is null or status <> 'active' "
               "or user_id in (select id from users where kind = 'service')")
    op.execute("delete from users where kind = 'service'")  # before, every account was a person
    op.drop_index('ix_users_username_lower', table_name='users')
    with op.batch_alter_table('users', schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f('uq_users_oidc_id'), type_='unique')
        batch_op.drop_column('oidc_id')
        batch_op.drop_column('description')
        batch_op.drop_column('kind')

    with op.batch_alter_table('user_preferences', schema=None) as batch_op:
        batch_op.drop_column('in_app_comments')
        batch_op.drop_column('email_sla_breach')
        batch_op.drop_column('email_ticket_assigned')

    with op.batch_alter_table('teams', schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f('fk_teams_personal_of_users'), type_='foreignkey')
        batch_op.create_foreign_key(batch_op.f('fk_teams_personal_of_users'), 'users', ['personal_of'], ['id'], ondelete='CASCADE')
        batch_op.drop_constraint(batch_op.f('uq_teams_slug'), type_='unique')
        batch_op.drop_column('deleted_at')
        batch_op.drop_column('slug')

    with op.batch_alter_table('team_members', schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f('fk_team_members_invited_by_id_users'), type_='foreignkey')
        batch_op.drop_constraint(batch_op.f('uq_team_members_team_id_email'), type_='unique')
        batch_op.drop_constraint(batch_op.f('uq_team_members_digest'), type_='unique')
        batch_op.drop_index('ix_team_members_user_id_status')
        batch_op.create_index(batch_op.f('ix_team_members_user_id'), ['user_id'], unique=False)
        batch_op.alter_column('user_id',
               existing_type=sa.VARCHAR(length=36),
               nullable=False)
        batch_op.drop_column('updated_at')
        batch_op.drop_column('message')
        batch_op.drop_column('expires_at')
        batch_op.drop_column('digest')
        batch_op.drop_column('removed_at')
        batch_op.drop_column('joined_at')
        batch_op.drop_column('invited_at')
        batch_op.drop_column('invited_by_id')
        batch_op.drop_column('status')
        batch_op.drop_column('name')
        batch_op.drop_column('email')

    with op.batch_alter_table('sessions', schema=None) as batch_op:
        batch_op.add_column(sa.Column('last_seen_at', sa.DateTime(timezone=True), nullable=True))
        batch_op.drop_column('proved_at')

    with op.batch_alter_table('audit_logs', schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f('uq_audit_logs_number'), type_='unique')
        batch_op.drop_index('ix_audit_logs_actor_id_id')
        batch_op.drop_index('ix_audit_logs_action_id')
        batch_op.drop_index('ix_audit_logs_result_id')
        batch_op.drop_index('ix_audit_logs_object_type_id')
        batch_op.drop_index('ix_audit_logs_object_id_id')
        batch_op.create_index('ix_audit_logs_object_id', ['object_id'], unique=False)
        batch_op.drop_column('hash')
        batch_op.drop_column('number')
        batch_op.drop_column('status_code')
        batch_op.drop_column('result')
        batch_op.drop_column('token_id')
        batch_op.drop_column('actor_email')

    with op.batch_alter_table('guest_roles', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_guest_roles_role_id'))
        batch_op.drop_index('ix_guest_roles_project_id')

    op.drop_table('guest_roles')
    with op.batch_alter_table('user_roles', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_user_roles_user_id'))
        batch_op.drop_index(batch_op.f('ix_user_roles_role_id'))
        batch_op.drop_index('ix_user_roles_place')

    op.drop_table('user_roles')
    op.drop_table('token_usage')
    with op.batch_alter_table('api_token_values', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_api_token_values_token_id'))

    op.drop_table('api_token_values')
    with op.batch_alter_table('api_tokens', schema=None) as batch_op:
        batch_op.drop_index('ix_api_tokens_user_id_id')
        batch_op.drop_index('ix_api_tokens_expires_at')

    op.drop_table('api_tokens')
    op.drop_table('second_factors')
    with op.batch_alter_table('recovery_codes', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_recovery_codes_user_id'))

    op.drop_table('recovery_codes')
    op.drop_table('github_connections')
    with op.batch_alter_table('email_tokens', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_email_tokens_user_id'))

    op.drop_table('email_tokens')
    op.drop_table('roles')
    with op.batch_alter_table('letters', schema=None) as batch_op:
        batch_op.drop_index('ix_letters_state_id')

    op.drop_table('letters')
    op.drop_table('audit_checks')
    op.drop_table('audit_archives')
    op.drop_table('audit_head')
    op.drop_table('access_epoch')
