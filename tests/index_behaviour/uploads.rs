//! Cases about uploads and who may go on with one.

use futures_util::future::join_all;
use roadstead::index::{Claim, UploadKey, UploadRow};

use crate::fixtures::{NOW, blob, key, repository};
use crate::{Case, Outcome, case, case_on, home::Home};

/// As large as a checkpoint may get.
const HUGE: usize = 150 * 1024;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(a_new_upload_stands_at_nothing),
        case(an_upload_is_known_to_its_repository_alone),
        case(an_upload_is_known_to_its_owner_alone),
        case(an_upload_ends_as_a_blob_for_the_holder_of_its_claim_alone),
        case(of_many_claims_at_once_one_succeeds),
        case(a_claim_at_another_offset_returns_the_offset_of_the_upload),
        case(a_huge_checkpoint_comes_back_as_it_was),
        case(a_stale_claim_is_taken_over_and_its_holder_finds_out),
        case(a_claim_given_back_leaves_the_upload_as_it_was),
        case(uploads_into_a_repository_are_listed),
        case(an_upload_is_removed_once),
        case(uploads_untouched_for_long_are_purged),
        case(a_claimed_upload_is_not_purged),
        case_on("sqlite", a_claim_lapses_when_the_process_is_another),
    ]
}

async fn a_new_upload_stands_at_nothing(home: Home) -> Outcome {
    let mine = repository("app");
    home.index.create_upload("1", &mine, "", NOW).await?;
    let upload = UploadRow {
        id: "1".to_owned(),
        repository: mine.clone(),
        owner: String::new(),
        offset: 0,
        checkpoint: Vec::new(),
    };
    assert_eq!(home.index.upload(&key(&mine, "1")).await?, Some(upload));
    assert_eq!(home.index.upload(&key(&mine, "2")).await?, None);
    assert!(home.index.create_upload("1", &mine, "", NOW).await.is_err(), "an id is taken once");
    Ok(())
}

async fn an_upload_is_known_to_its_repository_alone(home: Home) -> Outcome {
    let other = repository("other");
    home.index.create_upload("1", &repository("app"), "", NOW).await?;
    assert_eq!(home.index.upload(&key(&other, "1")).await?, None);
    let claim = home.index.claim_upload(&key(&other, "1"), None, "x", 0, NOW).await?;
    assert_eq!(claim, Claim::Unknown);
    let claim = home.index.claim_upload(&key(&repository("app"), "2"), None, "x", 0, NOW).await?;
    assert_eq!(claim, Claim::Unknown);
    Ok(())
}

async fn an_upload_is_known_to_its_owner_alone(home: Home) -> Outcome {
    let mine = repository("app");
    home.index.create_upload("1", &mine, "anna", NOW).await?;
    for owner in ["bob", "", "ann", "annaa"] {
        let other = UploadKey { owner, ..key(&mine, "1") };
        assert_eq!(home.index.upload(&other).await?, None, "{owner}");
        let claim = home.index.claim_upload(&other, None, "x", NOW + 1, NOW).await?;
        assert_eq!(claim, Claim::Unknown, "{owner}");
    }
    let owner = UploadKey { owner: "anna", ..key(&mine, "1") };
    let Claim::Granted(upload) = home.index.claim_upload(&owner, None, "x", 0, NOW).await? else {
        return Err("the upload is its owner's".into());
    };
    assert_eq!(upload.owner, "anna");
    assert_eq!(home.index.upload(&owner).await?, Some(upload));
    Ok(())
}

async fn an_upload_ends_as_a_blob_for_the_holder_of_its_claim_alone(home: Home) -> Outcome {
    let mine = repository("app");
    let blob = blob("content");
    let digest = blob.blob.canonical.into();
    home.index.create_upload("1", &mine, "", NOW).await?;
    home.index.claim_upload(&key(&mine, "1"), None, "slow", 0, NOW).await?;
    let taken = home.index.claim_upload(&key(&mine, "1"), None, "b", NOW + 1, NOW + 1).await?;
    assert!(matches!(taken, Claim::Granted(_)));
    assert!(!home.index.finish_upload("1", "slow", &mine, &blob, NOW + 2).await?);
    assert_eq!(home.index.blob(&mine, &digest).await?, None, "the claim is another's");
    assert!(home.index.upload(&key(&mine, "1")).await?.is_some());
    assert!(home.index.finish_upload("1", "b", &mine, &blob, NOW + 2).await?);
    assert!(home.index.blob(&mine, &digest).await?.is_some());
    assert_eq!(home.index.upload(&key(&mine, "1")).await?, None);
    assert!(!home.index.finish_upload("1", "b", &mine, &blob, NOW + 3).await?, "it has ended");
    Ok(())
}

async fn of_many_claims_at_once_one_succeeds(home: Home) -> Outcome {
    let mine = repository("app");
    let upload = key(&mine, "1");
    home.index.create_upload("1", &mine, "", NOW).await?;
    for round in 0..5_u64 {
        let tokens: Vec<_> = (0..8).map(|request| format!("{round}.{request}")).collect();
        let claims = join_all(
            tokens
                .iter()
                .map(|token| home.index.claim_upload(&upload, Some(round), token, NOW - 1, NOW)),
        )
        .await;
        let mut granted = Vec::new();
        for (token, claim) in tokens.iter().zip(claims) {
            match claim? {
                Claim::Granted(_) => granted.push(token),
                other => assert_eq!(other, Claim::Busy(round)),
            }
        }
        assert_eq!(granted.len(), 1, "{granted:?}");
        assert!(home.index.save_upload("1", granted[0], round + 1, b"", NOW).await?);
    }
    Ok(())
}

async fn a_claim_at_another_offset_returns_the_offset_of_the_upload(home: Home) -> Outcome {
    let mine = repository("app");
    home.index.create_upload("1", &mine, "", NOW).await?;
    let first = home.index.claim_upload(&key(&mine, "1"), Some(0), "a", 0, NOW).await?;
    assert!(matches!(first, Claim::Granted(_)));
    assert!(home.index.save_upload("1", "a", 7, b"seven", NOW).await?);
    for offset in [0, 6, 8] {
        let claim = home.index.claim_upload(&key(&mine, "1"), Some(offset), "b", 0, NOW).await?;
        assert_eq!(claim, Claim::Offset(7));
    }
    let Claim::Granted(upload) =
        home.index.claim_upload(&key(&mine, "1"), Some(7), "b", 0, NOW).await?
    else {
        return Err("a refused claim holds nothing".into());
    };
    assert_eq!((upload.offset, &upload.checkpoint[..]), (7, &b"seven"[..]));
    let busy = home.index.claim_upload(&key(&mine, "1"), Some(3), "c", 0, NOW).await?;
    assert_eq!(busy, Claim::Busy(7), "who holds it comes before where it stands");
    Ok(())
}

async fn a_huge_checkpoint_comes_back_as_it_was(home: Home) -> Outcome {
    let mine = repository("app");
    let checkpoint: Vec<u8> = (0..251).cycle().take(HUGE).collect();
    home.index.create_upload("1", &mine, "", NOW).await?;
    home.index.claim_upload(&key(&mine, "1"), None, "a", 0, NOW).await?;
    assert!(home.index.save_upload("1", "a", 1 << 40, &checkpoint, NOW).await?);
    let Claim::Granted(upload) =
        home.index.claim_upload(&key(&mine, "1"), None, "b", 0, NOW).await?
    else {
        return Err("saving gives the claim back".into());
    };
    assert_eq!(upload.checkpoint, checkpoint);
    assert_eq!((upload.offset, upload.owner.as_str()), (1 << 40, ""));
    assert_eq!(home.index.upload(&key(&mine, "1")).await?, Some(upload));
    Ok(())
}

async fn a_stale_claim_is_taken_over_and_its_holder_finds_out(home: Home) -> Outcome {
    let mine = repository("app");
    home.index.create_upload("1", &mine, "", NOW).await?;
    home.index.claim_upload(&key(&mine, "1"), Some(0), "slow", 0, NOW).await?;
    let at_the_border =
        home.index.claim_upload(&key(&mine, "1"), Some(0), "b", NOW, NOW + 1).await?;
    assert_eq!(at_the_border, Claim::Busy(0));
    let later = home.index.claim_upload(&key(&mine, "1"), Some(0), "b", NOW + 1, NOW + 2).await?;
    assert!(matches!(later, Claim::Granted(_)));
    assert!(!home.index.save_upload("1", "slow", 5, b"lost", NOW + 3).await?);
    home.index.release_upload("1", "slow").await?;
    let still_claimed =
        home.index.claim_upload(&key(&mine, "1"), Some(0), "c", NOW + 1, NOW + 3).await?;
    assert_eq!(still_claimed, Claim::Busy(0));
    assert!(home.index.save_upload("1", "b", 3, b"kept", NOW + 3).await?);
    let upload = home.index.upload(&key(&mine, "1")).await?.ok_or("no upload")?;
    assert_eq!((upload.offset, &upload.checkpoint[..]), (3, &b"kept"[..]));
    Ok(())
}

async fn a_claim_given_back_leaves_the_upload_as_it_was(home: Home) -> Outcome {
    let mine = repository("app");
    home.index.create_upload("1", &mine, "", NOW).await?;
    home.index.claim_upload(&key(&mine, "1"), None, "a", 0, NOW).await?;
    home.index.save_upload("1", "a", 4, b"four", NOW).await?;
    let before = home.index.upload(&key(&mine, "1")).await?;
    home.index.claim_upload(&key(&mine, "1"), Some(4), "b", 0, NOW).await?;
    home.index.release_upload("1", "b").await?;
    home.index.release_upload("1", "b").await?;
    home.index.release_upload("none", "b").await?;
    assert_eq!(home.index.upload(&key(&mine, "1")).await?, before);
    assert!(!home.index.save_upload("1", "b", 9, b"", NOW).await?, "it is not held any more");
    let again = home.index.claim_upload(&key(&mine, "1"), Some(4), "c", 0, NOW).await?;
    assert!(matches!(again, Claim::Granted(_)));
    Ok(())
}

async fn uploads_into_a_repository_are_listed(home: Home) -> Outcome {
    for (id, name, owner) in
        [("3", "app", "anna"), ("1", "app", ""), ("2", "app/more", ""), ("4", "ap", "")]
    {
        home.index.create_upload(id, &repository(name), owner, NOW).await?;
    }
    assert_eq!(home.index.upload_ids_of(&repository("app")).await?, ["1", "3"]);
    assert!(home.index.upload_ids_of(&repository("other")).await?.is_empty());
    Ok(())
}

async fn an_upload_is_removed_once(home: Home) -> Outcome {
    let mine = repository("app");
    home.index.create_upload("1", &mine, "", NOW).await?;
    home.index.claim_upload(&key(&mine, "1"), None, "a", 0, NOW).await?;
    assert!(home.index.remove_upload("1").await?);
    assert!(!home.index.remove_upload("1").await?);
    assert!(!home.index.save_upload("1", "a", 1, b"", NOW).await?);
    assert_eq!(home.index.upload(&key(&mine, "1")).await?, None);
    assert_eq!(home.index.upload_ids().await?, Vec::<String>::new());
    Ok(())
}

async fn uploads_untouched_for_long_are_purged(home: Home) -> Outcome {
    for (id, name, touched) in [("1", "a", 10), ("2", "b", 20), ("3", "a", 30), ("4", "a", 10)] {
        home.index.create_upload(id, &repository(name), "", touched).await?;
    }
    home.index.claim_upload(&key(&repository("a"), "1"), None, "x", 0, 40).await?;
    home.index.save_upload("1", "x", 1, b"", 50).await?;
    assert_eq!(home.index.purge_uploads(20, 20).await?, ["4"], "a checkpoint touches");
    assert_eq!(home.index.purge_uploads(20, 20).await?, Vec::<String>::new());
    home.index.claim_upload(&key(&repository("b"), "2"), None, "x", 0, 40).await?;
    assert_eq!(home.index.purge_uploads(40, 40).await?, ["3"], "a claim touches");
    let mut all = home.index.upload_ids().await?;
    all.sort();
    assert_eq!(all, ["1", "2"]);
    Ok(())
}

async fn a_claimed_upload_is_not_purged(home: Home) -> Outcome {
    let mine = repository("app");
    home.index.create_upload("1", &mine, "", 10).await?;
    home.index.claim_upload(&key(&mine, "1"), None, "x", 0, 20).await?;
    assert_eq!(home.index.purge_uploads(100, 20).await?, Vec::<String>::new());
    assert!(home.index.renew_upload("1", "x", 50).await?);
    assert!(!home.index.renew_upload("1", "y", 60).await?, "somebody else holds it");
    assert!(!home.index.renew_upload("2", "x", 60).await?, "it is not there");
    assert_eq!(home.index.purge_uploads(100, 50).await?, Vec::<String>::new());
    let busy = home.index.claim_upload(&key(&mine, "1"), None, "y", 50, 60).await?;
    assert_eq!(busy, Claim::Busy(0), "a renewed claim is young");
    assert_eq!(home.index.purge_uploads(100, 51).await?, ["1"], "its holder has died");
    assert!(!home.index.renew_upload("1", "x", 60).await?);
    Ok(())
}

async fn a_claim_lapses_when_the_process_is_another(home: Home) -> Outcome {
    let mine = repository("app");
    home.index.create_upload("1", &mine, "", NOW).await?;
    home.index.claim_upload(&key(&mine, "1"), None, "crashed", 0, NOW).await?;
    let next = home.open_again().await?;
    let claim = next.claim_upload(&key(&mine, "1"), Some(0), "new", 0, NOW).await?;
    assert!(matches!(claim, Claim::Granted(_)));
    Ok(())
}
