import { Migration } from "@mikro-orm/migrations";

export class Initial extends Migration {
  override up(): void {
    this.addSql(`create table users (
      id uuid not null primary key,
      user_name text not null,
      first_name text not null,
      last_name text not null,
      profile_picture_urls text[] not null,
      is_verified boolean not null
    )`);
    this.addSql(`create table follows (
      follower_id uuid not null constraint follows_follower_id_foreign references users on delete cascade,
      followee_id uuid not null constraint follows_followee_id_foreign references users on delete cascade,
      created_at timestamptz not null,
      primary key (follower_id, followee_id)
    )`);
    this.addSql("create index follows_followee_id_index on follows (followee_id)");
    this.addSql(`create table blocks (
      blocker_id uuid not null constraint blocks_blocker_id_foreign references users on delete cascade,
      blocked_id uuid not null constraint blocks_blocked_id_foreign references users on delete cascade,
      id uuid not null,
      created_at timestamptz not null,
      primary key (blocker_id, blocked_id)
    )`);
    this.addSql("create index blocks_blocked_id_index on blocks (blocked_id)");
    this.addSql("create index blocks_list_index on blocks (blocker_id, created_at, id)");
    this.addSql(`create table mutes (
      muter_id uuid not null constraint mutes_muter_id_foreign references users on delete cascade,
      muted_id uuid not null constraint mutes_muted_id_foreign references users on delete cascade,
      id uuid not null,
      created_at timestamptz not null,
      primary key (muter_id, muted_id)
    )`);
    this.addSql("create index mutes_muted_id_index on mutes (muted_id)");
    this.addSql("create index mutes_list_index on mutes (muter_id, created_at, id)");
    this.addSql(`create table privacy_settings (
      user_id uuid not null constraint privacy_settings_user_id_foreign references users on delete cascade,
      setting text not null constraint privacy_settings_setting_check
        check (setting in ('last_seen', 'profile_picture', 'status', 'read_receipts', 'groups')),
      audience text not null constraint privacy_settings_audience_check
        check (audience in ('all', 'contacts', 'contact_blacklist', 'none')),
      primary key (user_id, setting)
    )`);
    this.addSql(`create table signing_keys (
      id smallint not null primary key constraint signing_keys_single_check check (id = 1),
      key bytea not null
    )`);
  }
}
